import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { Rounds } from '@halley/service/rounds';

import type { Ledger } from './ledger.js';

export interface LedgerRetentionDeps {
  readonly ledger: Pick<Ledger, 'retain'>;
  readonly retentionMs: number;
  readonly maxRows: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** About how often the ledger is looked through. */
const EVERY_MS = 30_000;

/** Lets the ledger go of what has been kept long enough. Every job does so; they don't disturb each other. */
export function ledgerRetention({ ledger, retentionMs, maxRows, clock, log }: LedgerRetentionDeps): Service {
  return new Rounds({
    name: 'ledger retention',
    everyMs: EVERY_MS,
    round: async () => {
      await ledger.retain({ sinceMs: clock.now() - retentionMs, maxRows });
    },
    onFailure: (error) => log.warn({ err: error }, 'the ledger could not be looked through, trying again'),
  });
}
