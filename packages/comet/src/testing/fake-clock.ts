import type { Clock } from '@halley/service/clock';

/** A clock that stands still until it is told to go on. */
export class FakeClock implements Clock {
  #ms = 1_000_000;

  now(): number {
    return 1_700_000_000_000 + this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  advance(ms: number): void {
    this.#ms += ms;
  }
}
