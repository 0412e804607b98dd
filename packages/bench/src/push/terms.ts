import type { CheckedStream, Terms } from '../check/log.js';
import type { Random } from '../random.js';
import type { PushOptions } from './pusher.js';

/** What is asked of one push, as the caller says it and as the judge reads it. */
export interface DrawnTerms {
  readonly options: PushOptions;
  readonly terms: Terms;
  /** It is to be taken back so long after its answer. */
  readonly cancelAfterMs?: number;
}

/** Both clocks at about the same time: the check's, read first, and that of the cluster. */
export interface Now {
  readonly nowMs: number;
  readonly unixMs: number;
}

/** Of a hundred pushes; the others are delivered at once, and for ever. */
const SHARES = { scheduled: 5, expiring: 4, lasting: 1, collapsing: 6, bulk: 6 };
/** Of what is scheduled. */
const CANCELLED = 0.3;
const EXPIRING_WHEN_DUE = 0.15;
const MIN_DELAY_MS = 1_000;
const MAX_DELAY_MS = 20_000;
/** Cancelled at times from the answer to somewhat after it was due, so that some come too late. */
const CANCEL_SPREAD = 1.3;
const EXPIRES_MS = { least: 1_000, spread: 3_000 };
const LASTS_MS = 3_600_000;
const COLLAPSE_KEYS = 2;

/** Draws what one push asks for; undefined is nothing. `leftMs`: until no more is pushed. */
export function drawTerms(
  kind: CheckedStream['kind'],
  leftMs: number,
  now: Now,
  random: Random,
): DrawnTerms | undefined {
  let share = random.below(100);
  const isOf = (percent: number): boolean => (share -= percent) < 0;
  if (isOf(SHARES.scheduled)) return scheduled(leftMs, now, random);
  if (isOf(SHARES.expiring)) return expiring(EXPIRES_MS.least + random.below(EXPIRES_MS.spread), now);
  if (isOf(SHARES.lasting)) return expiring(LASTS_MS, now);
  if (isOf(SHARES.bulk)) return { options: { priority: 'PRIORITY_BULK' }, terms: { bulk: true } };
  // What is not kept is not caught up with.
  if (!isOf(SHARES.collapsing) || kind !== 'user') return undefined;
  const collapseKey = `key-${random.below(COLLAPSE_KEYS)}`;
  return { options: { collapse_key: collapseKey }, terms: { collapseKey } };
}

function scheduled(leftMs: number, { nowMs, unixMs }: Now, random: Random): DrawnTerms {
  // The last ones do not make the check much longer.
  const mostMs = Math.max(MIN_DELAY_MS, Math.min(MAX_DELAY_MS - MIN_DELAY_MS, leftMs));
  const delayMs = MIN_DELAY_MS + random.below(mostMs);
  const when = random.chance(0.5) ? { delay_ms: delayMs } : { deliver_at_ms: unixMs + delayMs };
  const afterMs = random.chance(EXPIRING_WHEN_DUE) ? delayMs + EXPIRES_MS.least : undefined;
  return {
    options: { ...when, ...(afterMs === undefined ? {} : { expire_at_ms: unixMs + afterMs }) },
    // unixMs has no fractions of a millisecond: what is due then may be up to one sooner than nowMs says.
    terms: {
      dueAtMs: nowMs + delayMs - 1,
      ...(afterMs === undefined ? {} : { expireAtMs: nowMs + afterMs }),
    },
    ...(random.chance(CANCELLED) ? { cancelAfterMs: random.below(delayMs * CANCEL_SPREAD) } : {}),
  };
}

function expiring(afterMs: number, { nowMs, unixMs }: Now): DrawnTerms {
  return { options: { expire_at_ms: unixMs + afterMs }, terms: { expireAtMs: nowMs + afterMs } };
}
