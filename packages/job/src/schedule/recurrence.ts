import type { Logger } from '@halley/service/log';
import { occurrenceDue } from '@halley/store/schedule/cron';
import type { Advance, Recurring } from '@halley/store/schedule/recurring';
import type { Schedules } from '@halley/store/schedule/schedules';

import type { JobMetrics } from '../metrics.js';

export interface RecurrenceDeps {
  readonly schedules: Pick<Schedules, 'dueRecurring' | 'advance'>;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** Recurring pushes that are moved on at once. */
const MAX_DUE = 100;

/**
 * Schedules the occurrences that are due: of each recurring push the newest, older ones are left out and counted. Every job
 * does; who moves one on first has it. Answers how many it had.
 */
export async function scheduleOccurrences({ schedules, metrics, log }: RecurrenceDeps): Promise<number> {
  const { nowMs, due } = await schedules.dueRecurring(MAX_DUE);
  let had = 0;
  for (const recurring of due) {
    const advance = advanceOf(recurring, nowMs);
    const done = await schedules.advance(advance);
    if (done === false) continue;
    had += 1;
    const { caller, name, missed, dueAtMs } = advance;
    metrics.schedule.occurrences.inc({ result: done === 'taken' ? 'taken' : 'scheduled' });
    metrics.schedule.occurrences.inc({ result: 'missed' }, missed);
    if (missed > 0) log.warn({ caller, name, missed }, 'occurrences of a recurring push were left out');
    if (done === 'taken')
      log.warn({ caller, name, dueAtMs }, 'an occurrence was left out: another push has its id');
  }
  return had;
}

function advanceOf(recurring: Recurring, nowMs: number): Advance {
  const { caller, name, revision, expireAfterMs, nextAtMs = nowMs } = recurring;
  const occurrence = occurrenceDue(recurring, nextAtMs, nowMs);
  const expireAtMs = expireAfterMs > 0 ? occurrence.dueAtMs + expireAfterMs : 0;
  return { caller, name, revision, expireAtMs, ...occurrence };
}
