/** One row of the table of what is to be reached. */
export interface LimitRow {
  readonly what: string;
  /** What goim was measured at, for comparison; empty when there is none. */
  readonly goim: string;
  /** As `≤ 1.25`. */
  readonly target: string;
  /** What was measured: the median of the rounds. */
  readonly figure: string;
  /** Of figure and target, so that 1 and less is reached when less is better, 1 and more when more is. */
  readonly ratio: number;
  readonly isReached: boolean;
  /** Of each round. */
  readonly rounds: readonly number[];
  /** More about it; may be empty. */
  readonly note: string;
}

export interface RowPlan {
  readonly what: string;
  readonly goim: string;
  /** `most`: less is better; `least`: more is. */
  readonly bound: 'most' | 'least';
  readonly limit: number;
  readonly rounds: readonly number[];
  readonly text: (value: number) => string;
  readonly note?: string;
  /** Whatever the figure, when something went wrong: a figure with losses is none. */
  readonly faults?: readonly string[];
}

/** Judges the median of the rounds; without a round, or with a fault, it is not reached. */
export function rowOf({ what, goim, bound, limit, rounds, text, note = '', faults = [] }: RowPlan): LimitRow {
  const value = median(rounds);
  const ratio = limit === 0 ? (value === 0 ? 1 : Infinity) : value / limit;
  const isWithin = bound === 'most' ? value <= limit : value >= limit;
  return {
    what,
    goim,
    target: `${bound === 'most' ? '≤' : '≥'} ${text(limit)}`,
    figure: rounds.length === 0 ? 'not measured' : text(value),
    ratio,
    isReached: rounds.length > 0 && isWithin && faults.length === 0,
    rounds,
    note: [note, ...new Set(faults)].filter(Boolean).join('; '),
  };
}

/** The middle one; of an even number the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}
