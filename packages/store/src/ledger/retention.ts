import { setTimeout as sleep } from 'node:timers/promises';

import { atMost } from '@halley/service/at-most';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';

import type { Ledger } from './ledger.js';

export interface LedgerRetentionDeps {
  readonly ledger: Pick<Ledger, 'retain'>;
  readonly retentionMs: number;
  readonly maxRows: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** About how often the ledger is looked through; nodes do so at different times. */
const EVERY_MS = 30_000;

/** Lets the ledger go of what has been kept long enough. Every job does so; they don't disturb each other. */
export class LedgerRetention implements Service {
  readonly name = 'ledger retention';
  readonly #end = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(private readonly deps: LedgerRetentionDeps) {}

  async start(): Promise<void> {
    this.#running = this.#run();
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#end.abort();
    await atMost(this.#running, deadlineMs);
  }

  async #run(): Promise<void> {
    const { ledger, retentionMs, maxRows, clock, log } = this.deps;
    const { signal } = this.#end;
    for (;;) {
      await sleep(EVERY_MS * (0.5 + Math.random()), undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      await ledger.retain({ sinceMs: clock.now() - retentionMs, maxRows }).catch((error: unknown) => {
        log.warn({ err: error }, 'the ledger could not be looked through, trying again');
      });
    }
  }
}
