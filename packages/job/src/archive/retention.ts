import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';
import { atMost } from '@halley/service/at-most';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import type { Archive, Retention as Kept } from '@halley/store/archive/archive';

import type { JobMetrics } from '../metrics.js';

export interface RetentionDeps {
  readonly archive: Pick<Archive, 'retain'>;
  /** About how often a part of the archive is looked through; jobs do so at different times. */
  readonly everyMs: number;
  /** What is kept as of a time in Unix milliseconds. */
  readonly keptAt: (nowMs: number) => Kept;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** Lets the archive go of what has been kept long enough. Every job does so, a part at a time; they don't disturb each other. */
export class Retention implements Service {
  readonly name = 'retention';
  readonly #end = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly deps: RetentionDeps) {}

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#end.abort();
    await atMost(this.#running, deadlineMs);
  }

  async #run(): Promise<void> {
    const { archive, everyMs, keptAt, clock, metrics, log } = this.deps;
    const { signal } = this.#end;
    let away = false;
    for (;;) {
      await sleep(everyMs * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        metrics.retained.inc(await archive.retain(keptAt(clock.now())));
        away = false;
      } catch (error) {
        metrics.archiveFailures.inc({ code: HalleyError.from(error).code });
        if (!away) log.warn({ err: error }, 'what was kept long enough could not be removed, trying again');
        away = true;
      }
    }
  }
}
