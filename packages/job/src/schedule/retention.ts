import { HalleyError } from '@halley/protocol/error';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { Rounds } from '@halley/service/rounds';
import type { Schedules } from '@halley/store/schedule/schedules';

import type { JobMetrics } from '../metrics.js';

export interface ScheduleRetentionDeps {
  readonly schedules: Pick<Schedules, 'retain'>;
  /** About how often it is looked for what can go. Default 5,000 ms. */
  readonly everyMs?: number;
  /** For how long what has ended is kept, in milliseconds. */
  readonly keepMs: number;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

const EVERY_MS = 5_000;

/** Removes schedules that ended long enough ago, beside their firing. Every job does so; they don't disturb each other. */
export function scheduleRetention(deps: ScheduleRetentionDeps): Service {
  const { schedules, everyMs = EVERY_MS, keepMs, metrics, log } = deps;
  return new Rounds({
    name: 'retention of schedules',
    everyMs,
    round: async () => {
      let removed: number;
      do {
        removed = await schedules.retain(keepMs);
        metrics.schedule.removed.inc(removed);
      } while (removed > 0);
    },
    onFailure: (error) => {
      metrics.schedule.failures.inc({ store: 'schedules', code: HalleyError.from(error).code });
      log.debug({ err: error }, 'schedules could not be removed, trying again');
    },
  });
}
