import type { Beat } from './beat.js';

/** Pushes at a fixed rate, whatever becomes of those before: push i is due at `startNs` + i / `perSecond`. */
export interface OpenLoopPlan {
  readonly startNs: bigint;
  readonly perSecond: number;
  readonly count: number;
  /** What is still late by so many nanoseconds behind the last one's time is given up. */
  readonly graceNs: bigint;
}

export interface OpenLoopDeps {
  readonly beat: Beat;
  /** Ends it early. */
  readonly signal: AbortSignal;
  /** Takes a push that is due; its time is when it was due, however late it is. */
  readonly take: (index: number, dueNs: bigint) => void;
  /** Undefined while more can be taken, else resolves when that is so again. */
  readonly full: () => Promise<void> | undefined;
}

/** More wake-ups a second than this would cost more than they bring: what is due within one leaves together. */
const MAX_WAKES_PER_SECOND = 2_000;
/** As many are taken before the event loop has a turn. */
const MAX_AT_ONCE = 1_024;

/** When a push is due. */
export function dueNs({ startNs, perSecond }: OpenLoopPlan, index: number): bigint {
  return startNs + BigInt(Math.round((index * 1e9) / perSecond));
}

/**
 * Hands over each push at its time, in order, and never leaves one out because others are late: what waited is handed over
 * with the time at which it was due, so that waiting counts as latency (no coordinated omission). Answers how many were handed
 * over; fewer than `count` when the signal aborted, or the grace was over.
 */
export async function openLoop(plan: OpenLoopPlan, deps: OpenLoopDeps): Promise<number> {
  const { beat, signal, take, full } = deps;
  const leastWaitNs = plan.perSecond > MAX_WAKES_PER_SECOND ? BigInt(1e9 / MAX_WAKES_PER_SECOND) : 0n;
  const giveUpNs = dueNs(plan, plan.count) + plan.graceNs;
  let index = 0;
  while (index < plan.count && !signal.aborted) {
    await full();
    const nowNs = beat.nowNs();
    if (nowNs > giveUpNs) break;
    let taken = 0;
    while (index < plan.count && taken < MAX_AT_ONCE && full() === undefined) {
      const due = dueNs(plan, index);
      if (due > nowNs) break;
      take(index, due);
      index += 1;
      taken += 1;
    }
    if (index >= plan.count) break;
    const nextNs = dueNs(plan, index);
    const earliestNs = nowNs + leastWaitNs;
    await beat.until(nextNs > nowNs && nextNs < earliestNs ? earliestNs : nextNs);
  }
  return index;
}
