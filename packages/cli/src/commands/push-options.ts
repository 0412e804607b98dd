import { HalleyError } from '@halley/protocol/error';
import type { Command } from 'commander';

import { someText, wholeNumber } from '../arguments.js';
import { duration, pointInTime } from '../duration.js';

/** Options that say when a push is delivered, and with what others. */
export interface TimingOptions {
  readonly delay?: number;
  readonly at?: number;
  readonly expireIn?: number;
  readonly expireAt?: number;
  readonly group?: string;
  readonly window?: number;
  readonly maxCount?: number;
}

/** Adds the options of {@link TimingOptions}. */
export function addTimingOptions(command: Command): Command {
  return command
    .option('--delay <duration>', 'deliver it after so long, as 90s, 15m, 2h, 3d', duration)
    .option(
      '--at <time>',
      'deliver it then, as 18:00 (the next one) or 2030-12-31T18:00; local time, unless it names a zone',
      pointInTime,
    )
    .option('--expire-in <duration>', 'of no use so long after its delivery is due', duration)
    .option('--expire-at <time>', 'of no use after this time', pointInTime)
    .option('--group <key>', 'deliver it with others of this group, as one; with --window', someText)
    .option('--window <duration>', 'with --group: so long after the first of them', duration)
    .option('--max-count <n>', 'with --group: or with so many, if that is sooner', wholeNumber(1, 1_000));
}

/** What {@link TimingOptions} say, as gRPC has it. Throws `invalid_argument`. */
export function timingOf(options: TimingOptions, nowMs: number) {
  const { delay, at, expireIn, expireAt, group, window, maxCount } = options;
  if (delay !== undefined && at !== undefined)
    throw wrong('say when to deliver it by one of --delay and --at');
  if (expireIn !== undefined && expireAt !== undefined) {
    throw wrong('say when it expires by one of --expire-in and --expire-at');
  }
  if (group === undefined && (window !== undefined || maxCount !== undefined)) {
    throw wrong('--window and --max-count are for a --group');
  }
  if (group !== undefined && window === undefined) {
    throw wrong('say when the group is delivered: --window DURATION, as 10s');
  }
  if (group !== undefined && (delay !== undefined || at !== undefined)) {
    throw wrong('a push of a --group is delivered with its group: --window in place of --delay and --at');
  }
  const dueMs = Math.max(nowMs, at ?? nowMs + (delay ?? 0));
  return {
    delay_ms: delay ?? 0,
    deliver_at_ms: at ?? 0,
    expire_at_ms:
      expireAt ?? (expireIn === undefined ? 0 : dueMs + (group === undefined ? 0 : (window ?? 0)) + expireIn),
    group: group === undefined ? null : { key: group, window_ms: window ?? 0, max_count: maxCount ?? 0 },
  };
}

function wrong(message: string): HalleyError {
  return new HalleyError('invalid_argument', message);
}
