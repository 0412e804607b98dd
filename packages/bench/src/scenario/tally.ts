import type { LoadSample } from '../load/load-side.js';

/** More different reasons than this are counted together. */
const MAX_REASONS = 50;

/** Adds up by reason. */
export function addReasons(into: Map<string, number>, reasons: ReadonlyMap<string, number>): void {
  for (const [reason, count] of reasons) {
    const as = into.has(reason) || into.size < MAX_REASONS ? reason : 'others';
    into.set(as, (into.get(as) ?? 0) + count);
  }
}

/** What came over several samples. */
export class Tally {
  delivered = 0;
  outOfOrder = 0;
  repeated = 0;
  strays = 0;
  lastAtNs = 0n;
  readonly closed = new Map<string, number>();

  /**
   * `mayOvertake`: calls of one caller are under way together. Then a message may come far behind a later one of its sender,
   * where a connection cannot tell it from one that comes again: each that came is counted.
   */
  constructor(private readonly mayOvertake = false) {}

  add(sample: LoadSample): void {
    this.delivered += sample.delivered;
    this.outOfOrder += sample.outOfOrder;
    if (!this.mayOvertake) this.repeated += sample.repeated;
    this.strays += sample.strays;
    if (sample.lastAtNs > this.lastAtNs) this.lastAtNs = sample.lastAtNs;
    addReasons(this.closed, sample.closed);
  }

  /** Messages, each once; where they may overtake each other, all that came. */
  get unique(): number {
    return this.delivered - this.repeated;
  }
}
