import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';

import type { LogicLink, SessionRef } from '../logic-link.js';

const IN_FLIGHT = 64;
const ATTEMPTS = 3;

/**
 * Routes of connections that are gone, to be removed at logic, a bounded number at a time. What cannot be removed runs
 * out with its lease: a push to it finds no connection here and is dropped.
 */
export class Releases {
  readonly #waiting: SessionRef[] = [];
  #inFlight = 0;
  #idle: (() => void)[] = [];

  constructor(private readonly deps: { readonly logic: LogicLink; readonly log: Logger }) {}

  /** Routes that are not removed yet. */
  get pending(): number {
    return this.#waiting.length + this.#inFlight;
  }

  add({ mid, key, owner }: SessionRef): void {
    this.#waiting.push({ mid, key, owner });
    this.#next();
  }

  /** Resolves when everything added was removed or given up. */
  async idle(): Promise<void> {
    if (this.pending === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #next(): void {
    while (this.#inFlight < IN_FLIGHT) {
      const route = this.#waiting.shift();
      if (!route) break;
      this.#inFlight += 1;
      void this.#release(route);
    }
    if (this.pending === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #release(route: SessionRef): Promise<void> {
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      try {
        await this.deps.logic.disconnect(route);
        break;
      } catch (error) {
        if (attempt === ATTEMPTS) this.deps.log.warn({ err: error, key: route.key }, 'route not removed');
        else await backoff.wait();
      }
    }
    this.#inFlight -= 1;
    this.#next();
  }
}
