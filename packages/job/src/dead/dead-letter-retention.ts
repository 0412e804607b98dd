import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { Rounds } from '@halley/service/rounds';
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
export function deadLetterRetention(deps: DeadLetterRetentionDeps): Service {
  const { dead, everyMs, maxAgeMs, maxLetters, clock, metrics, log } = deps;
  return new Rounds({
    name: 'retention of dead letters',
    everyMs,
    round: async () => {
      metrics.deadLettersRemoved.inc(await dead.retain({ sinceMs: clock.now() - maxAgeMs, maxLetters }));
    },
    onFailure: (error) => {
      metrics.deadLetterFailures.inc({ code: HalleyError.from(error).code });
      log.debug({ err: error }, 'dead letters could not be removed, trying again');
    },
  });
}
