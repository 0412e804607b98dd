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

  add(sample: LoadSample): void {
    this.delivered += sample.delivered;
    this.outOfOrder += sample.outOfOrder;
    this.repeated += sample.repeated;
    this.strays += sample.strays;
    if (sample.lastAtNs > this.lastAtNs) this.lastAtNs = sample.lastAtNs;
    addReasons(this.closed, sample.closed);
  }

  /** Messages, each once. */
  get unique(): number {
    return this.delivered - this.repeated;
  }
}
