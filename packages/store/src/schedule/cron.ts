import { HalleyError } from '@halley/protocol/error';
import { Cron } from 'croner';

import type { RecurringRule } from './recurring.js';

/** Occurrences that are counted as missed at most; after a long outage of one that occurs every second there are more. */
const MAX_MISSED = 1_000;

/** Five or six, with spaces around and between them. */
const FIELDS = /^\s*\S+(\s+\S+){4,5}\s*$/;

/** Expressions by name. */
const NAMES: ReadonlySet<string> = new Set([
  '@hourly',
  '@daily',
  '@midnight',
  '@weekly',
  '@monthly',
  '@yearly',
  '@annually',
]);

/** What of a recurring push is due. */
export interface Occurrence {
  /** The newest that is due. */
  readonly dueAtMs: number;
  /** Older ones that are left out. */
  readonly missed: number;
  /** The one after it; undefined when it is the last. */
  readonly nextAtMs: number | undefined;
}

/**
 * Checks a cron expression and its time zone. Throws `invalid_argument` that names the field.
 *
 * Where clocks are put forward, a time that does not exist occurs at the first one after it; where they are put back, a time
 * that exists twice occurs once.
 */
export function checkRule({ cron, timeZone }: RecurringRule): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch {
    throw new HalleyError('invalid_argument', `time_zone: ${timeZone} is no IANA time zone`);
  }
  if (!NAMES.has(cron.toLowerCase()) && !FIELDS.test(cron)) {
    throw new HalleyError(
      'invalid_argument',
      `cron: must have five fields (minute, hour, day of the month, month, day of the week), six with the second before them, or be one of ${[...NAMES].join(', ')}`,
    );
  }
  try {
    cronOf({ cron, timeZone, endAtMs: 0 });
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^Cron\w*: /, '') : '';
    throw new HalleyError('invalid_argument', `cron: ${why}`, { cause: error });
  }
}

/** The first occurrence after a time; undefined when there is none. */
export function nextOccurrence(rule: RecurringRule, afterMs: number): number | undefined {
  const next = cronOf(rule).nextRun(new Date(afterMs))?.getTime();
  if (next === undefined || (rule.endAtMs > 0 && next > rule.endAtMs)) return undefined;
  return next;
}

/** Which of the occurrences from `dueAtMs` on, which is one, is to be fired now. */
export function occurrenceDue(rule: RecurringRule, dueAtMs: number, nowMs: number): Occurrence {
  const following = nextOccurrence(rule, dueAtMs);
  if (following === undefined || following > nowMs) return { dueAtMs, missed: 0, nextAtMs: following };
  const untilMs = rule.endAtMs > 0 ? Math.min(nowMs, rule.endAtMs) : nowMs;
  // Those before this time.
  const newest =
    cronOf(rule)
      .previousRuns(1, new Date(untilMs + 1))[0]
      ?.getTime() ?? following;
  let missed = 1;
  let at = following;
  while (at < newest && missed < MAX_MISSED) {
    const next = nextOccurrence(rule, at);
    if (next === undefined) break;
    at = next;
    missed += 1;
  }
  const last = Math.max(newest, following);
  return { dueAtMs: last, missed, nextAtMs: nextOccurrence(rule, last) };
}

function cronOf({ cron, timeZone }: RecurringRule): Cron {
  return new Cron(cron, { timezone: timeZone, mode: cron.startsWith('@') ? 'auto' : '5-or-6-parts' });
}
