import type { Clock } from '@halley/service/clock';

import { Wakeup } from '../wakeup.js';

export interface GateDeps {
  /** Requests at once. */
  readonly concurrency: number;
  /** Between two attempts at an endpoint that is down: from this on, twice as long each time, up to {@link MAX_PROBE_MS}. */
  readonly baseBackoffMs: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Calls back after so many milliseconds. Default: an unreferenced timer. */
  readonly after?: (ms: number, run: () => void) => void;
  readonly random?: () => number;
}

interface Waiting {
  readonly go: (may: boolean) => void;
}

/** After so many failures in a row, whoever's, an endpoint is taken to be down. */
const DOWN_AFTER = 8;
const MAX_PROBE_MS = 30_000;

/**
 * Who may send to one endpoint, and when: so many at once, and one at a time, after a pause, while the endpoint is down. Whoever
 * waits longest is next.
 */
export class Gate {
  /** Woken when the endpoint is back after it was down: who waits for another attempt need not wait longer. */
  readonly recovered = new Wakeup();
  readonly #waiting: Waiting[] = [];
  #active = 0;
  #failures = 0;
  #successes = 0;
  /** Nobody goes before. */
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #timer = false;

  constructor(private readonly deps: GateDeps) {}

  get down(): boolean {
    return this.#failures >= DOWN_AFTER;
  }

  /** What the endpoint has taken so far. */
  get successes(): number {
    return this.#successes;
  }

  /** Resolves with true when it is the caller's turn, who calls {@link leave} afterwards; with false when the signal aborted first. */
  async enter(signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return false;
    const may = new Promise<boolean>((resolve) => {
      const waiting: Waiting = {
        go: (turn) => {
          signal.removeEventListener('abort', abort);
          resolve(turn);
        },
      };
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        resolve(false);
      };
      signal.addEventListener('abort', abort);
      this.#waiting.push(waiting);
    });
    this.#next();
    return may;
  }

  /** The endpoint took it, failed, or asks all to wait; `undefined` tells nothing about it. */
  leave(ok: boolean | undefined, retryAfterMs = 0): void {
    this.#active -= 1;
    const { baseBackoffMs, clock, random = Math.random } = this.deps;
    const now = clock.monotonicMs();
    if (ok === true) {
      this.#successes += 1;
      const { down } = this;
      this.#failures = 0;
      if (down) {
        this.#notBeforeMs = now;
        this.recovered.wake();
      }
    } else if (ok === false) {
      this.#failures += 1;
      const probeMs = Math.min(MAX_PROBE_MS, baseBackoffMs * 2 ** (this.#failures - DOWN_AFTER));
      const pauseMs = Math.max(retryAfterMs, this.down ? probeMs * (0.5 + random() / 2) : 0);
      if (pauseMs > 0) this.#notBeforeMs = Math.max(this.#notBeforeMs, now + pauseMs);
    }
    this.#next();
  }

  #next(): void {
    const { concurrency, clock, after = later } = this.deps;
    while (this.#waiting.length > 0 && this.#active < (this.down ? 1 : concurrency)) {
      const pauseMs = this.#notBeforeMs - clock.monotonicMs();
      if (pauseMs > 0) {
        if (this.#timer) return;
        this.#timer = true;
        return after(pauseMs, () => {
          this.#timer = false;
          this.#next();
        });
      }
      this.#active += 1;
      this.#waiting.shift()?.go(true);
    }
  }
}

function later(ms: number, run: () => void): void {
  setTimeout(run, ms).unref();
}
