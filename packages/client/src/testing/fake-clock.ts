import type { Clock } from '../clock.js';

interface Timer {
  readonly atMs: number;
  readonly number: number;
  readonly run: () => void;
}

/** Time that passes when a test says so, and chance that it chooses. */
export class FakeClock implements Clock {
  #nowMs = 1_000_000;
  #number = 0;
  #timers: Timer[] = [];

  /** `random` is drawn from for chance; without it chance is always the middle. */
  constructor(readonly random: () => number = () => 0.5) {}

  now(): number {
    return this.#nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    this.#number += 1;
    const timer = { atMs: this.#nowMs + delayMs, number: this.#number, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Lets so much time pass; what is begun meanwhile is done before the next timer runs. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await settled();
    for (let next = this.#next(untilMs); next; next = this.#next(untilMs)) {
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = Math.max(this.#nowMs, next.atMs);
      next.run();
      await settled();
    }
    this.#nowMs = untilMs;
  }

  #next(untilMs: number): Timer | undefined {
    return this.#timers
      .filter(({ atMs }) => atMs <= untilMs)
      .sort((a, b) => a.atMs - b.atMs || a.number - b.number)[0];
  }
}

/** Done when everything that needs no time is. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
