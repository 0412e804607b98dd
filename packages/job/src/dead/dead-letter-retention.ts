import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';
import { atMost } from '@halley/service/at-most';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import type { DeadLetterStore } from '@halley/store/dead/dead';

import type { JobMetrics } from '../metrics.js';

export interface DeadLetterRetentionDeps {
  readonly dead: Pick<DeadLetterStore, 'retain'>;
  readonly everyMs: number;
  readonly maxAgeMs: number;
  readonly maxLetters: number;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** Removes dead letters that are too old or too many, now and then. Every job does so; they don't disturb each other. */
export class DeadLetterRetention implements Service {
  readonly name = 'retention of dead letters';
  readonly #end = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly deps: DeadLetterRetentionDeps) {}

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#end.abort();
    await atMost(this.#running, deadlineMs);
  }

  async #run(): Promise<void> {
    const { dead, everyMs, maxAgeMs, maxLetters, clock, metrics, log } = this.deps;
    const { signal } = this.#end;
    for (;;) {
      await sleep(everyMs * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        metrics.deadLettersRemoved.inc(await dead.retain({ sinceMs: clock.now() - maxAgeMs, maxLetters }));
      } catch (error) {
        metrics.deadLetterFailures.inc({ code: HalleyError.from(error).code });
        log.debug({ err: error }, 'dead letters could not be removed, trying again');
      }
    }
  }
}
