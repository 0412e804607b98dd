import { setTimeout as sleep } from 'node:timers/promises';

export interface BackoffOptions {
  /** First ceiling in milliseconds. */
  readonly baseMs: number;
  /** Largest ceiling in milliseconds. */
  readonly maxMs: number;
  /** Growth of the ceiling per attempt. Default 2. */
  readonly factor?: number;
}

/** Full-jitter exponential backoff: each wait is uniform between 0 and a ceiling that grows. */
export class Backoff {
  #attempt = 0;

  constructor(
    private readonly options: BackoffOptions,
    private readonly random: () => number = Math.random,
  ) {}

  /** The next wait in milliseconds. */
  nextMs(): number {
    const { baseMs, maxMs, factor = 2 } = this.options;
    const ceiling = Math.min(maxMs, baseMs * factor ** this.#attempt);
    this.#attempt += 1;
    return this.random() * ceiling;
  }

  /** Waits; resolves early, without throwing, when the signal aborts. */
  async wait(signal?: AbortSignal): Promise<void> {
    await sleep(this.nextMs(), undefined, signal ? { signal } : {}).catch(() => undefined);
  }

  /** Starts again from the first ceiling, after a success. */
  reset(): void {
    this.#attempt = 0;
  }
}
