import type { Absence, DeviceLog, NumberedPush, Shown } from './log.js';

/** What was handed to the socket before it expired is shown all the same, by a busy machine somewhat later. */
const EXPIRED_GRACE_MS = 3_000;
/** An SDK client that moves has the next connection while it is still at what came on the last one. */
const MOVING_GRACE_MS = 250;
/** What is of use for longer is waited for at the end of a check. */
const LONG_MS = 600_000;

/** From when on a push can be shown: OK, and due. */
export function fromMs({ answeredAtMs, terms }: NumberedPush): number {
  return Math.max(answeredAtMs, terms?.dueAtMs ?? 0);
}

/** What is due later has no order, and may fire when its caller has pushed others long ago. */
export function isScheduled({ terms }: NumberedPush): boolean {
  return terms?.dueAtMs !== undefined;
}

/** Pushes have an order within a stream among those of one lane. */
export function laneOf({ terms }: NumberedPush): 'normal' | 'bulk' {
  return terms?.bulk ? 'bulk' : 'normal';
}

/** Why a device should not have been shown it then, in words; undefined when there is nothing to say against it. */
export function untimely({ terms }: NumberedPush, shown: Shown, device: DeviceLog): string | undefined {
  const { dueAtMs = 0, expireAtMs = Infinity, cancel } = terms ?? {};
  const { atMs } = shown;
  if (cancel === 'cancelled') return 'was shown what was cancelled';
  if (atMs < dueAtMs) return `was shown ${Math.ceil(dueAtMs - atMs)} ms before its time`;
  if (atMs <= expireAtMs) return undefined;
  // It may have been in the socket, for as long as that was not read; not in one that was opened later.
  const frozen = device.absences.filter((absence) => absence.frozen);
  const readMs = readyMs(frozen, expireAtMs, atMs);
  const openedAtMs = device.connections[shown.connection]?.openedAtMs ?? 0;
  const isNewer = openedAtMs > expireAtMs && readMs === expireAtMs;
  if (atMs - readMs <= (isNewer ? MOVING_GRACE_MS : EXPIRED_GRACE_MS)) return undefined;
  return `was shown ${Math.floor(atMs - expireAtMs)} ms after it had expired`;
}

/** Why a device need not be shown a push that was answered OK. */
export type Excuse = 'cancelled' | 'expired' | 'collapsed';

/** The excuse for not having shown it; undefined when there is none. `shown`: the numbers of the stream that the device was. */
export function excuse(
  push: NumberedPush,
  newer: readonly number[],
  shown: { has(number: number): boolean },
  endMs: number,
): Excuse | undefined {
  const { expireAtMs = Infinity, cancel } = push.terms ?? {};
  if (cancel === 'cancelled' || cancel === 'unknown') return 'cancelled';
  if (expireAtMs <= endMs) return 'expired';
  return newer.some((number) => shown.has(number)) ? 'collapsed' : undefined;
}

/** For each push with a collapse key, the numbers of those that can stand in its place. */
export function newerOnes(pushes: Iterable<NumberedPush>): (push: NumberedPush) => readonly number[] {
  const byKey = new Map<string, number[]>();
  for (const { number, outcome, terms } of pushes) {
    if (terms?.collapseKey === undefined || outcome === 'refused') continue;
    const numbers = byKey.get(terms.collapseKey) ?? [];
    numbers.push(number);
    byKey.set(terms.collapseKey, numbers);
  }
  return ({ number, terms }) =>
    terms?.collapseKey === undefined
      ? []
      : (byKey.get(terms.collapseKey) ?? []).filter((one) => one > number);
}

/** The numbers that every device of the stream will be shown, once all is well: those are waited for. */
export function owedIn(pushes: readonly NumberedPush[]): Set<number> {
  const sure = pushes.filter(
    ({ outcome, pushedAtMs, terms: { cancel, expireAtMs = Infinity } = {} }) =>
      outcome === 'ok' && (cancel ?? 'too_late') === 'too_late' && expireAtMs - pushedAtMs > LONG_MS,
  );
  const newer = newerOnes(sure);
  return new Set(sure.filter((push) => newer(push).length === 0).map(({ number }) => number));
}

/** Counts of what may happen to pushes that ask for something; those in `devices` count each device. */
export interface TermCounts {
  /** Pushes that were to be delivered later, were answered OK, and not cancelled. */
  readonly scheduled: number;
  readonly cancelled: number;
  readonly tooLate: number;
  readonly bulk: number;
  /** How long after its time a scheduled one was shown at the latest, to a user's device that was there. */
  readonly latestMs: number;
  /** The same of those that no fault was near; absent when there were none. */
  readonly latestCalmMs?: number;
  readonly devices: Readonly<Record<Exclude<Excuse, 'cancelled'>, number>>;
}

export function countTerms(
  pushes: readonly NumberedPush[],
  devices: readonly {
    readonly excused: readonly Excuse[];
    readonly lateness: readonly { readonly lateMs: number; readonly calm: boolean }[];
  }[],
): TermCounts {
  const ok = pushes.filter(({ outcome }) => outcome === 'ok');
  const late = devices.flatMap(({ lateness }) => lateness);
  const latest = (some: typeof late): number => some.reduce((most, { lateMs }) => Math.max(most, lateMs), 0);
  const times = (excused: Excuse): number =>
    devices.reduce((total, one) => total + one.excused.filter((why) => why === excused).length, 0);
  return {
    scheduled: ok.filter((push) => isScheduled(push) && push.terms?.cancel !== 'cancelled').length,
    cancelled: ok.filter(({ terms }) => terms?.cancel === 'cancelled').length,
    tooLate: ok.filter(({ terms }) => terms?.cancel === 'too_late').length,
    bulk: ok.filter(({ terms }) => terms?.bulk).length,
    latestMs: latest(late),
    ...(late.some(({ calm }) => calm) ? { latestCalmMs: latest(late.filter(({ calm }) => calm)) } : {}),
    devices: { expired: times('expired'), collapsed: times('collapsed') },
  };
}

/** From when on a device was there and read, of the time between two moments: the end of the last absence in it. */
export function readyMs(absences: readonly Absence[], from: number, until: number): number {
  let [low, high] = [0, absences.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((absences[middle]?.fromMs ?? 0) < until) low = middle + 1;
    else high = middle;
  }
  return Math.max(from, Math.min(until, absences[low - 1]?.untilMs ?? from));
}
