import { describe, expect, test } from '@jest/globals';

import { judge } from './judge.js';
import type { CheckLog, DeviceLog, FaultSpan, NumberedPush, Outcome, Shown } from './log.js';
import type { Verdict } from './verdict.js';

const END_MS = 60_000;

/** `user-0 0 1 2` and so on: what was pushed a millisecond apart, all OK unless said otherwise. */
function pushed(
  stream: string,
  count: number,
  change: Record<number, Partial<NumberedPush>> = {},
): NumberedPush[] {
  return Array.from({ length: count }, (_, number) => ({
    stream,
    number,
    outcome: 'ok' as Outcome,
    attempts: 1,
    pushedAtMs: 1_000 + number * 10,
    answeredAtMs: 1_005 + number * 10,
    via: 'grpc logic-1',
    ...change[number],
  }));
}

/** What a device was shown, connection by connection. */
function shown(stream: string, ...connections: number[][]): Shown[] {
  return connections.flatMap((numbers, connection) =>
    numbers.map((number, index) => ({
      atMs: 1_010 + connection * 5_000 + index * 10,
      connection,
      stream,
      number,
    })),
  );
}

function device(change: Partial<DeviceLog>): DeviceLog {
  return {
    name: 'user-0/tcp',
    kind: 'goim',
    habit: 'stays',
    streams: ['user-0', 'room-0', 'everyone'],
    connections: [
      { openedAtMs: 500, closedAtMs: 5_900, to: 'comet-1' },
      { openedAtMs: 6_000, to: 'comet-2' },
    ],
    shown: [],
    strange: [],
    gaps: [],
    absences: [],
    ...change,
  };
}

function verdictOf(
  pushes: readonly NumberedPush[],
  changes: Partial<DeviceLog>,
  faults: FaultSpan[] = [],
): Verdict {
  const log: CheckLog = {
    streams: [
      { name: 'user-0', kind: 'user' },
      { name: 'user-1', kind: 'user' },
      { name: 'room-0', kind: 'room' },
      { name: 'everyone', kind: 'everyone' },
    ],
    pushes,
    devices: [device(changes)],
    faults,
  };
  return judge(log, { endMs: END_MS });
}

const NONE = { lost: 0, 'shown twice': 0, 'out of order': 0, phantom: 0, 'wrong user': 0, untimely: 0 };

describe('a user', () => {
  test('is clean when all came once and in order', () => {
    const verdict = verdictOf(pushed('user-0', 4), { shown: shown('user-0', [0, 1], [2, 3]) });
    expect(verdict).toMatchObject({ clean: true, violations: NONE });
    expect(verdict.counts).toMatchObject({ ok: 4, deliveries: 4, repeats: 0, dropped: 0 });
  });

  test('who was never shown what was answered OK has lost it, and the fault about then is named', () => {
    const faults = [{ name: 'kill-job job-1', injectedAtMs: 900, healedAtMs: 1_500 }];
    const verdict = verdictOf(pushed('user-0', 3), { shown: shown('user-0', [0, 2]) }, faults);
    expect(verdict.violations).toEqual({ ...NONE, lost: 1 });
    expect(verdict.clean).toBe(false);
    expect(verdict.examples).toEqual([
      {
        kind: 'lost',
        device: 'user-0/tcp',
        who: 'goim, stays',
        stream: 'user-0',
        number: 1,
        what: 'was never shown what was answered OK',
        pushedAtMs: 1_010,
        via: 'grpc logic-1',
        faults: ['kill-job job-1'],
      },
    ]);
  });

  test('is owed neither what was refused nor what is unknown', () => {
    const pushes = pushed('user-0', 3, { 1: { outcome: 'refused' }, 2: { outcome: 'unknown' } });
    const verdict = verdictOf(pushes, { shown: shown('user-0', [0]) });
    expect(verdict).toMatchObject({ clean: true, counts: { ok: 1, refused: 1, unknown: 1 } });
  });

  test('may be shown what is unknown, late too, but not twice', () => {
    const pushes = pushed('user-0', 3, { 1: { outcome: 'unknown' } });
    expect(verdictOf(pushes, { shown: shown('user-0', [0, 2, 1]) }).clean).toBe(true);
    expect(verdictOf(pushes, { shown: shown('user-0', [0, 1, 2, 1]) }).violations).toEqual({
      ...NONE,
      'shown twice': 1,
    });
  });

  test('must not be shown what was refused, what nobody pushed, nor other bodies', () => {
    const pushes = pushed('user-0', 2, { 1: { outcome: 'refused', why: 'overloaded' } });
    const verdict = verdictOf(pushes, {
      shown: shown('user-0', [0, 1, 7]),
      strange: [{ atMs: 1_100, text: 'hello' }],
    });
    expect(verdict.violations).toEqual({ ...NONE, phantom: 3 });
    expect(verdict.examples.map(({ what }) => what)).toEqual([
      'was shown what was refused (overloaded)',
      'was shown what nobody pushed',
      'was shown "hello"',
    ]);
  });

  test('must not be shown what is for another user', () => {
    const pushes = [...pushed('user-0', 1), ...pushed('user-1', 1)];
    const all = [...shown('user-0', [0]), ...shown('user-1', [0])];
    expect(verdictOf(pushes, { shown: all }).violations).toEqual({ ...NONE, 'wrong user': 1 });
  });

  test('must be shown everything in order, over connections too', () => {
    const disordered = { ...NONE, 'out of order': 1 };
    expect(verdictOf(pushed('user-0', 3), { shown: shown('user-0', [0, 2, 1]) }).violations).toEqual(
      disordered,
    );
    expect(verdictOf(pushed('user-0', 3), { shown: shown('user-0', [0, 2], [1]) }).violations).toEqual(
      disordered,
    );
  });

  test('of goim may be shown something again when it reconnects, in order; within a connection not', () => {
    const again = verdictOf(pushed('user-0', 4), { shown: shown('user-0', [0, 1, 2], [1, 2, 3]) });
    expect(again).toMatchObject({ clean: true, counts: { repeats: 2 } });
    expect(
      verdictOf(pushed('user-0', 4), { shown: shown('user-0', [0, 1, 2], [2, 1, 3]) }).violations,
    ).toEqual({ ...NONE, 'out of order': 1 });
    expect(verdictOf(pushed('user-0', 2), { shown: shown('user-0', [0, 1, 1]) }).violations).toEqual({
      ...NONE,
      'shown twice': 1,
    });
  });

  test('of the SDK is shown nothing again, whatever happens', () => {
    const verdict = verdictOf(pushed('user-0', 3), {
      kind: 'sdk',
      shown: shown('user-0', [0, 1], [1, 2]),
    });
    expect(verdict.violations).toEqual({ ...NONE, 'shown twice': 1 });
  });

  test('is shown a push once that was repeated with its id, unless a fault took the ids away', () => {
    const pushes = pushed('user-0', 3, { 1: { attempts: 2 } });
    const log = { shown: shown('user-0', [0, 1, 2, 1]) };
    expect(verdictOf(pushes, log).violations).toEqual({ ...NONE, 'out of order': 1, 'shown twice': 1 });
    const faults = [{ name: 'redis-flush', injectedAtMs: 1_012, healedAtMs: 1_013, forgetsIds: true }];
    expect(verdictOf(pushes, log, faults)).toMatchObject({ clean: true, counts: { repeats: 1 } });
    const later = [{ name: 'redis-flush', injectedAtMs: 9_000, forgetsIds: true }];
    expect(verdictOf(pushes, log, later).clean).toBe(false);
  });

  test('is owed nothing from before a declared gap, nor from longer ago than a goim client may be away', () => {
    const lost = { shown: shown('user-0', [0], [2]) };
    expect(
      verdictOf(pushed('user-0', 3), { ...lost, gaps: [{ atMs: 6_000, stream: 'user-0' }] }),
    ).toMatchObject({ clean: true, counts: { declaredGaps: 1 } });
    expect(verdictOf(pushed('user-0', 3), { ...lost, gaps: [{ atMs: 6_000, stream: 'user-1' }] }).clean).toBe(
      false,
    );
    const connections = [
      { openedAtMs: 500, closedAtMs: 900, to: 'comet-1' },
      { openedAtMs: 601_000, to: 'comet-1' },
    ];
    expect(verdictOf(pushed('user-0', 3), { connections })).toMatchObject({ clean: true });
    expect(
      verdictOf(pushed('user-0', 3), {
        connections: [connections[0]!, { openedAtMs: 600_000, to: 'comet-1' }],
      }).violations,
    ).toEqual({ ...NONE, lost: 3 });
  });
});

describe.each(['room-0', 'everyone'])('%s', (stream) => {
  test('may miss some, which is counted, also how many it missed while it was connected', () => {
    // One on the connection that stays, one shortly before the other ended.
    const pushes = pushed(stream, 4, {
      1: { pushedAtMs: 6_100, answeredAtMs: 6_105 },
      3: { pushedAtMs: 5_890, answeredAtMs: 5_895 },
    });
    const verdict = verdictOf(pushes, { shown: shown(stream, [0, 2]) });
    expect(verdict).toMatchObject({ clean: true, counts: { dropped: 2, droppedWhileConnected: 1 } });
  });

  test('must be in order within a connection, and be shown nothing twice there', () => {
    const pushes = pushed(stream, 4);
    expect(verdictOf(pushes, { shown: shown(stream, [0, 1, 3, 2]) }).violations).toEqual({
      ...NONE,
      'out of order': 1,
    });
    expect(verdictOf(pushes, { shown: shown(stream, [0, 1, 1]) }).violations).toEqual({
      ...NONE,
      'shown twice': 1,
    });
    expect(verdictOf(pushes, { shown: shown(stream, [0, 3], [2, 3]) }).clean).toBe(true);
  });

  test('may be shown twice what was repeated because it was unknown: no id is looked for', () => {
    const pushes = pushed(stream, 3, { 1: { attempts: 2 } });
    expect(verdictOf(pushes, { shown: shown(stream, [0, 1, 2, 1]) })).toMatchObject({
      clean: true,
      counts: { repeats: 1 },
    });
  });

  test('must not be shown what nobody pushed', () => {
    expect(verdictOf(pushed(stream, 1), { shown: shown(stream, [0, 1]) }).violations).toEqual({
      ...NONE,
      phantom: 1,
    });
  });
});

test('a silence lasts while something waits and nothing is shown', () => {
  const pushes = pushed('user-0', 3, {
    1: { answeredAtMs: 2_000 },
    2: { answeredAtMs: 2_100 },
  });
  const times = [1_010, 5_000, 9_500];
  const log = {
    shown: shown('user-0', [0, 1, 2]).map((one, index) => ({ ...one, atMs: times[index] ?? 0 })),
  };
  const verdict = verdictOf(pushes, log);
  expect(verdict.silences).toEqual([
    { device: 'user-0/tcp', fromMs: 5_000, untilMs: 9_500 },
    { device: 'user-0/tcp', fromMs: 2_000, untilMs: 5_000 },
  ]);
  expect(verdict.counts.longestSilenceMs).toBe(4_500);
});

test('only the first few of each kind are named, all are counted', () => {
  const verdict = verdictOf(pushed('user-0', 50), { shown: shown('user-0', [3, 2]) });
  expect(verdict.violations).toEqual({ ...NONE, lost: 48, 'out of order': 1 });
  expect(verdict.examples.map(({ kind, number }) => `${kind} ${number}`)).toEqual([
    'lost 0',
    'lost 1',
    'lost 4',
    'lost 5',
    'lost 6',
    'out of order 2',
  ]);
});

describe('who was away by its own doing', () => {
  const shownLate = shown('user-0', [], [0]);

  test('was not kept waiting meanwhile', () => {
    const change = { shown: shownLate, absences: [{ fromMs: 900, untilMs: 6_000 }] };
    const { counts, readers } = verdictOf(pushed('user-0', 1), change);
    expect(counts.longestSilenceMs).toBe(0);
    expect(readers).toEqual([
      { client: 'goim', habit: 'stays', devices: 1, deliveries: 1, medianMs: 10, p99Ms: 10 },
    ]);
    const { counts: without } = verdictOf(pushed('user-0', 1), { shown: shownLate });
    expect(without.longestSilenceMs).toBe(5_005);
  });

  test('is owed everything all the same', () => {
    const { violations } = verdictOf(pushed('user-0', 2), {
      shown: shownLate,
      absences: [{ fromMs: 900, untilMs: 6_000 }],
    });
    expect(violations.lost).toBe(1);
  });
});

describe('a client of the SDK that comes back', () => {
  const twice = (stream: string) =>
    verdictOf(pushed(stream, 1), { kind: 'sdk', shown: shown(stream, [0], [0]) });

  test('must not be shown again what is kept', () => {
    expect(twice('user-0').violations).toEqual({ ...NONE, 'shown twice': 1 });
  });

  test('may be shown again what is not, by a job that goes back', () => {
    expect(twice('room-0')).toMatchObject({ clean: true, counts: { repeats: 1 } });
  });
});
