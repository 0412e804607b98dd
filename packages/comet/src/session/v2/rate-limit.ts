import type { Clock } from '@halley/service/clock';

/** So many a second, and at most a second's worth at once. */
export class RateLimit {
  #left: number;
  #atMs: number;

  constructor(
    private readonly perSecond: number,
    private readonly clock: Clock,
  ) {
    this.#left = perSecond;
    this.#atMs = clock.monotonicMs();
  }

  /** Takes one; answers 0, or in how many milliseconds there is one. */
  take(): number {
    const now = this.clock.monotonicMs();
    this.#left = Math.min(this.perSecond, this.#left + ((now - this.#atMs) * this.perSecond) / 1_000);
    this.#atMs = now;
    if (this.#left < 1) return Math.ceil(((1 - this.#left) * 1_000) / this.perSecond);
    this.#left -= 1;
    return 0;
  }
}
