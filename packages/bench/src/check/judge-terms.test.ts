import { describe, expect, test } from '@jest/globals';

import { judge } from './judge.js';
import type { Absence, ConnectionSpan, DeviceLog, FaultSpan, NumberedPush, Terms } from './log.js';
import { owedIn } from './terms.js';
import type { Verdict } from './verdict.js';

const END_MS = 60_000;
const DUE_MS = 8_000;

/** Pushes to one user, ten milliseconds apart from 1 s on, each with what it asked for. */
function pushed(...terms: (Terms | undefined)[]): NumberedPush[] {
  return terms.map((one, number) => ({
    stream: 'user-0',
    number,
    outcome: 'ok',
    attempts: 1,
    pushedAtMs: 1_000 + number * 10,
    answeredAtMs: 1_005 + number * 10,
    via: 'grpc logic-1',
    ...(one ? { terms: one } : {}),
  }));
}

const CONNECTIONS: readonly ConnectionSpan[] = [{ openedAtMs: 500, to: 'comet-1', by: 'sse' }];

interface Circumstances {
  readonly absences?: readonly Absence[];
  readonly faults?: readonly FaultSpan[];
  readonly connections?: readonly ConnectionSpan[];
}

/** What an SDK device of the user was shown, and when. */
function judged(
  pushes: readonly NumberedPush[],
  shown: readonly (readonly [number: number, atMs: number])[],
  { absences = [], faults = [], connections = CONNECTIONS }: Circumstances = {},
): Verdict {
  const device: DeviceLog = {
    name: 'user-0/sse',
    kind: 'sdk',
    habit: 'stays',
    streams: ['user-0'],
    connections,
    shown: shown.map(([number, atMs]) => ({
      atMs,
      connection: connections.length - 1,
      stream: 'user-0',
      number,
    })),
    strange: [],
    gaps: [],
    absences,
  };
  const streams = [{ name: 'user-0', kind: 'user' as const }];
  return judge({ streams, pushes, devices: [device], faults }, { endMs: END_MS });
}

const broken = ({ violations }: Verdict): object =>
  Object.fromEntries(Object.entries(violations).filter(([, count]) => count > 0));

describe('a scheduled push', () => {
  const due = { dueAtMs: DUE_MS };

  test('is shown once, at its time or later, in any order with others; how late is told', () => {
    const verdict = judged(pushed(due, undefined, undefined), [
      [1, 1_100],
      [0, DUE_MS + 40],
      [2, DUE_MS + 50],
    ]);
    expect(verdict).toMatchObject({ clean: true, terms: { scheduled: 1, latestMs: 40, latestCalmMs: 40 } });
    expect(verdict.counts.longestSilenceMs).toBeLessThan(DUE_MS);
  });

  test('must not be shown before, be it a millisecond', () => {
    const early = judged(pushed(due), [[0, DUE_MS - 1]]);
    expect(broken(early)).toEqual({ untimely: 1 });
    expect(early.examples[0]).toMatchObject({ number: 0, what: 'was shown 1 ms before its time' });
    expect(judged(pushed(due), [[0, DUE_MS]]).clean).toBe(true);
  });

  test('must not be missing, nor come twice, but where its id was forgotten', () => {
    const faults = [{ name: 'redis-flush', injectedAtMs: DUE_MS, healedAtMs: DUE_MS, forgetsIds: true }];
    const twice = [
      [0, DUE_MS + 1],
      [0, DUE_MS + 9],
    ] as const;
    expect(broken(judged(pushed(due), []))).toEqual({ lost: 1 });
    expect(broken(judged(pushed(due), twice))).toEqual({ 'shown twice': 1 });
    expect(judged(pushed(due), twice, { faults })).toMatchObject({ clean: true, counts: { repeats: 1 } });
  });

  test('is late apart from faults, and from the time in which the device was away', () => {
    const faults = [{ name: 'kill-job job-1', injectedAtMs: DUE_MS - 500, healedAtMs: DUE_MS + 500 }];
    const late = [[0, DUE_MS + 7_000]] as const;
    expect(judged(pushed(due), late, { faults }).terms).toEqual(
      expect.not.objectContaining({ latestCalmMs: expect.anything() }),
    );
    expect(judged(pushed(due), late, { faults }).terms.latestMs).toBe(7_000);
    const absences = [{ fromMs: 2_000, untilMs: DUE_MS + 6_900 }];
    expect(judged(pushed(due), late, { absences }).terms).toMatchObject({ latestMs: 100, latestCalmMs: 100 });
  });

  test('is never shown when it was cancelled, is owed when that came too late, and either when nobody knows', () => {
    const shown = [[0, DUE_MS + 1]] as const;
    const cancel = (answer: NonNullable<Terms['cancel']>) => pushed({ ...due, cancel: answer });
    expect(broken(judged(cancel('cancelled'), shown))).toEqual({ untimely: 1 });
    expect(judged(cancel('cancelled'), [])).toMatchObject({
      clean: true,
      terms: { cancelled: 1, scheduled: 0 },
    });
    expect(broken(judged(cancel('too_late'), []))).toEqual({ lost: 1 });
    expect(judged(cancel('too_late'), shown)).toMatchObject({ clean: true, terms: { tooLate: 1 } });
    expect(judged(cancel('unknown'), shown).clean).toBe(true);
    expect(judged(cancel('unknown'), []).clean).toBe(true);
  });
});

describe('a push that expires', () => {
  test('is not owed, and must not be shown when it has: not to who was there, nor to who comes back', () => {
    const pushes = pushed({ expireAtMs: 3_000 });
    expect(judged(pushes, [])).toMatchObject({ clean: true, terms: { devices: { expired: 1 } } });
    expect(judged(pushes, [[0, 2_900]]).clean).toBe(true);
    const late = judged(pushes, [[0, 7_500]]);
    expect(broken(late)).toEqual({ untimely: 1 });
    expect(late.examples[0]?.what).toBe('was shown 4500 ms after it had expired');
    const absences = [{ fromMs: 1_500, untilMs: 7_400 }];
    const connections = [
      { openedAtMs: 500, closedAtMs: 1_500, to: 'comet-1' },
      { openedAtMs: 7_400, to: 'comet-1' },
    ];
    expect(broken(judged(pushes, [[0, 7_700]], { absences, connections }))).toEqual({ untimely: 1 });
  });

  test('may have been in the socket of who did not read', () => {
    const absences = [{ fromMs: 2_000, untilMs: 12_000, frozen: true }];
    expect(judged(pushed({ expireAtMs: 3_000 }), [[0, 12_100]], { absences }).clean).toBe(true);
  });

  test('after the end is owed as any other', () => {
    expect(broken(judged(pushed({ expireAtMs: END_MS + 1 }), []))).toEqual({ lost: 1 });
  });
});

test('a push with a collapse key may be missing for a newer one of the key alone', () => {
  const [a, b] = [{ collapseKey: 'a' }, { collapseKey: 'b' }];
  const newer = judged(pushed(a, b, a), [
    [1, 1_100],
    [2, 1_200],
  ]);
  expect(newer).toMatchObject({ clean: true, terms: { devices: { collapsed: 1 } } });
  expect(
    broken(
      judged(pushed(a, b, b), [
        [1, 1_100],
        [2, 1_200],
      ]),
    ),
  ).toEqual({ lost: 1 });
  expect(broken(judged(pushed(a, a), [[0, 1_100]]))).toEqual({ lost: 1 });
  expect(broken(judged(pushed(a, undefined), [[1, 1_100]]))).toEqual({ lost: 1 });
});

test('bulk pushes have an order among themselves, and none with others', () => {
  const bulk = { bulk: true as const };
  const pushes = pushed(bulk, undefined, bulk, undefined);
  const inOrder = (...numbers: number[]) =>
    judged(
      pushes,
      numbers.map((one, index) => [one, 1_100 + index]),
    );
  expect(inOrder(1, 3, 0, 2)).toMatchObject({ clean: true, terms: { bulk: 2 } });
  expect(inOrder(0, 2, 1, 3).clean).toBe(true);
  expect(broken(inOrder(1, 3, 2, 0))).toEqual({ 'out of order': 1 });
  expect(broken(inOrder(1, 3, 0))).toEqual({ lost: 1 });
});

test('it is waited for what will come for sure', () => {
  const pushes = pushed(
    undefined,
    { dueAtMs: DUE_MS },
    { dueAtMs: DUE_MS, cancel: 'cancelled' },
    { dueAtMs: DUE_MS, cancel: 'too_late' },
    { expireAtMs: 3_000 },
    { expireAtMs: 3_600_000 },
    { collapseKey: 'a' },
    { collapseKey: 'a' },
  );
  expect([...owedIn(pushes)]).toEqual([0, 1, 3, 5, 7]);
});
