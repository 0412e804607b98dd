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
  /** What the same machine gave another in the same run; undefined where nothing is to be held against it. */
  readonly beside: BesideRow | undefined;
  /** `for this machine`: the figure is not, but what it is held against says that a faster machine would reach it. */
  readonly reached: 'yes' | 'for this machine' | 'no';
  /** Of each round. */
  readonly rounds: readonly number[];
  /** More about it; may be empty. */
  readonly note: string;
}

/** A figure held against another one of the same run. */
export interface BesideRow {
  /** As `2.43× C`. */
  readonly figure: string;
  /** As `≤ 2.07×`; empty where no target is known. */
  readonly target: string;
  readonly ratio: number;
  readonly isReached: boolean;
  readonly rounds: readonly number[];
}

export interface RowPlan {
  readonly what: string;
  readonly goim: string;
  /** `most`: less is better; `least`: more is. */
  readonly bound: 'most' | 'least';
  readonly limit: number;
  readonly rounds: readonly number[];
  readonly text: (value: number) => string;
  readonly beside?: BesidePlan | undefined;
  readonly note?: string;
  /** Whatever the figure, when something went wrong: a figure with losses is none. */
  readonly faults?: readonly string[];
}

/** What a row is held against, with the row's bound. */
export interface BesidePlan {
  readonly name: 'C' | 'bare';
  /** What the other one had, a round each. */
  readonly rounds: readonly number[];
  /** The target's ratio on the machine on which it was set; undefined where nobody measured the other one there. */
  readonly limit?: number;
}

/** Judges the median of the rounds, and of the ratios; without a round, or with a fault, it is not reached. */
export function rowOf(plan: RowPlan): LimitRow {
  const { what, goim, bound, limit, rounds, text, note = '', faults = [] } = plan;
  const value = median(rounds);
  const beside = plan.beside && besideOf(plan.beside, plan);
  const isSound = rounds.length > 0 && faults.length === 0;
  return {
    what,
    goim,
    target: `${signOf(bound)} ${text(limit)}`,
    figure: rounds.length === 0 ? 'not measured' : text(value),
    ratio: limit === 0 ? (value === 0 ? 1 : Infinity) : value / limit,
    beside,
    reached: reachedBy(isSound && isWithin(bound, value, limit), isSound && beside?.isReached === true),
    rounds,
    note: [note, ...new Set(faults)].filter(Boolean).join('; '),
  };
}

function reachedBy(itself: boolean, beside: boolean): LimitRow['reached'] {
  if (itself) return 'yes';
  return beside ? 'for this machine' : 'no';
}

function besideOf({ name, rounds: others, limit }: BesidePlan, { bound, rounds }: RowPlan): BesideRow {
  const found = ratios(rounds, others);
  const ratio = median(found);
  return {
    figure: found.length === 0 ? '' : `${times(ratio)} ${name}`,
    target: limit === undefined ? '' : `${signOf(bound)} ${times(limit)}`,
    ratio,
    rounds: found,
    isReached: limit !== undefined && found.length > 0 && isWithin(bound, ratio, limit),
  };
}

function isWithin(bound: RowPlan['bound'], value: number, limit: number): boolean {
  return bound === 'most' ? value <= limit : value >= limit;
}

function signOf(bound: RowPlan['bound']): string {
  return bound === 'most' ? '≤' : '≥';
}

/** As `1.25×`. */
export function times(ratio: number): string {
  return `${ratio.toFixed(2)}×`;
}

/** Of every round, one figure against the other. */
export function ratios(of: readonly number[], against: readonly number[]): number[] {
  return of.flatMap((value, round) => {
    const other = against[round];
    return other === undefined ? [] : [value / other];
  });
}

/** The middle one; of an even number the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}
