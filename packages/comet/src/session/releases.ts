import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';

import type { LogicLink, SessionEnd, SessionRef, StreamCursor } from '../logic-link.js';

/** Many leave at once, and share the calls of logic. */
const IN_FLIGHT = 1_024;
const ATTEMPTS = 3;

interface Release {
  readonly route: SessionRef;
  readonly cursor: StreamCursor | undefined;
  readonly end: SessionEnd | undefined;
}

/**
 * Routes of connections that are gone, to be removed at logic, a bounded number at a time. What cannot be removed runs
 * out with its lease: a push to it finds no connection here and is dropped.
 */
export class Releases {
  readonly #waiting: Release[] = [];
  #inFlight = 0;
  #idle: (() => void)[] = [];

  constructor(private readonly deps: { readonly logic: LogicLink; readonly log: Logger }) {}

  /** Routes that are not removed yet. */
  get pending(): number {
    return this.#waiting.length + this.#inFlight;
  }

  /** With a cursor, where the device goes on when it comes back; `end` when it has not been told before. */
  add({ mid, key, owner }: SessionRef, cursor?: StreamCursor, end?: SessionEnd): void {
    this.#waiting.push({ route: { mid, key, owner }, cursor, end });
    this.#next();
  }

  /** Resolves when everything added was removed or given up. */
  async idle(): Promise<void> {
    if (this.pending === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #next(): void {
    while (this.#inFlight < IN_FLIGHT) {
      const release = this.#waiting.shift();
      if (!release) break;
      this.#inFlight += 1;
      void this.#release(release);
    }
    if (this.pending === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #release({ route, cursor, end }: Release): Promise<void> {
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      try {
        // One is not to fail for ever with those that share its call.
        await this.deps.logic.disconnect(route, cursor, end, attempt === ATTEMPTS);
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
