import { once } from 'node:events';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

/** What the pace of pushes is kept by. */
export interface Beat {
  /** CLOCK_MONOTONIC, in nanoseconds. */
  nowNs(): bigint;
  /** Resolves at that time or soon after it; in the past: as soon as what waits in the event loop was looked at. */
  until(atNs: bigint): Promise<void>;
  close(): Promise<void>;
}

/** A timer of the event loop is up to this late: the rest of a wait is the thread's. */
const TIMER_SLACK_MS = 3;

/**
 * The machine's time. The event loop's timers come up to 2 ms late, as much as a push takes: a thread that sleeps to the
 * microsecond wakes the loop instead, some 50 µs late, and costs nothing while it sleeps.
 */
export class ThreadBeat implements Beat {
  readonly #thread = new Worker(new URL('./beat-thread.js', import.meta.url));

  nowNs(): bigint {
    return process.hrtime.bigint();
  }

  async until(atNs: bigint): Promise<void> {
    const aheadMs = Number(atNs - this.nowNs()) / 1e6;
    if (aheadMs <= 0) return setImmediate();
    if (aheadMs > 2 * TIMER_SLACK_MS) await sleep(aheadMs - TIMER_SLACK_MS);
    const woken = once(this.#thread, 'message');
    this.#thread.postMessage(atNs);
    await woken;
  }

  async close(): Promise<void> {
    await this.#thread.terminate();
  }
}
