import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { Rounds } from '@halley/service/rounds';
import type { Archive, Retention } from '@halley/store/archive/archive';

import type { JobMetrics } from '../metrics.js';

export interface ArchiveRetentionDeps {
  readonly archive: Pick<Archive, 'retain' | 'blank'>;
  /** About how often a part of the archive is looked through. */
  readonly everyMs: number;
  /** What is kept as of a time in Unix milliseconds. */
  readonly keptAt: (nowMs: number) => Retention;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** A body goes so long after the entry's own retention: for the clocks of those who show it until then. */
export const BLANK_AFTER_MS = 60_000;

/** Lets the archive go of what has been kept long enough. Every job does so, a part at a time; they don't disturb each other. */
export function archiveRetention(deps: ArchiveRetentionDeps): Service {
  const { archive, everyMs, keptAt, clock, metrics, log } = deps;
  let away = false;
  return new Rounds({
    name: 'retention',
    everyMs,
    round: async () => {
      metrics.retained.inc(await archive.retain(keptAt(clock.now())));
      metrics.blanked.inc(await archive.blank(clock.now() - BLANK_AFTER_MS));
      away = false;
    },
    onFailure: (error) => {
      metrics.archiveFailures.inc({ code: HalleyError.from(error).code });
      if (!away) log.warn({ err: error }, 'what was kept long enough could not be removed, trying again');
      away = true;
    },
  });
}
