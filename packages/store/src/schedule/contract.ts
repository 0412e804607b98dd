import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import {
  fireAll,
  freshCaller,
  leasedIds,
  LIMITS,
  member,
  push,
  textOf,
  type SchedulesHarness,
} from './contract-fixture.js';
import { recurringContract } from './contract-recurring.js';
import type { Schedules, SchedulePlace } from './schedules.js';

/** What every store of schedules does. */
export function schedulesContract(adapter: string, makeHarness: () => Promise<SchedulesHarness>): void {
  describe(`schedules on ${adapter}`, () => {
    let harness: SchedulesHarness;
    let schedules: Schedules;
    const now = async (): Promise<number> => (await schedules.next()).nowMs;

    beforeAll(async () => {
      harness = await makeHarness();
      ({ schedules } = harness);
    });
    afterAll(() => harness.close());

    describe('what is put', () => {
      test('is there as it was put, for its caller alone', async () => {
        const caller = freshCaller();
        const dueAtMs = (await now()) + 60_000;
        const put = push(caller, 'ä 1', { dueAtMs, expireAtMs: dueAtMs + 5, body: Buffer.from([0, 255]) });
        expect(await schedules.put([put])).toEqual([{ outcome: 'put', dueAtMs }]);
        const row = await schedules.get(caller, 'ä 1');
        expect({ ...row, content: textOf(row!.content), body: [...row!.body] }).toEqual({
          caller,
          id: 'ä 1',
          digest: put.digest,
          kind: 'push',
          state: 'waiting',
          dueAtMs,
          acceptedAtMs: 1_000,
          expireAtMs: dueAtMs + 5,
          firedAtMs: undefined,
          endedAtMs: undefined,
          content: 'content of ä 1',
          body: [0, 255],
          bodyBytes: 2,
          digestId: undefined,
          members: 0,
          recurring: undefined,
        });
        expect(await schedules.get(freshCaller(), 'ä 1')).toBeUndefined();
        expect(await schedules.get(caller, 'Ä 1')).toBeUndefined();
        expect(await schedules.get(caller, 'ä 1 ')).toBeUndefined();
      });

      test('again is a duplicate and changes nothing; another content under the id is a conflict', async () => {
        const caller = freshCaller();
        const dueAtMs = (await now()) + 60_000;
        const one = push(caller, 'a', { dueAtMs });
        await schedules.put([one]);
        expect(
          await schedules.put([
            push(caller, 'a', { dueAtMs: dueAtMs + 9 }),
            push(caller, 'b', { dueAtMs }),
            push(caller, 'a', { dueAtMs, digest: 'other' }),
            push(caller, 'b', { dueAtMs: dueAtMs + 9 }),
          ]),
        ).toEqual([
          { outcome: 'duplicate', dueAtMs },
          { outcome: 'put', dueAtMs },
          { outcome: 'conflict' },
          { outcome: 'duplicate', dueAtMs },
        ]);
        expect((await schedules.get(caller, 'a'))?.dueAtMs).toBe(dueAtMs);
      });

      test('by many at once under one id is one', async () => {
        const caller = freshCaller();
        const dueAtMs = (await now()) + 60_000;
        const answers = await Promise.all(
          Array.from({ length: 8 }, () => schedules.put([push(caller, 'same', { dueAtMs })])),
        );
        expect(
          answers
            .flat()
            .map(({ outcome }) => outcome)
            .sort(),
        ).toEqual([...Array.from({ length: 7 }, () => 'duplicate'), 'put']);
      });
    });

    describe('what is due', () => {
      test('is leased then, never before, and once', async () => {
        const caller = freshCaller();
        const dueAtMs = (await now()) + 50_000;
        await schedules.put([push(caller, 'a', { dueAtMs })]);
        expect((await schedules.next()).scheduleAtMs).toBeLessThanOrEqual(dueAtMs);
        harness.advance(49_000);
        expect(await leasedIds(schedules, 'one', caller)).toEqual([]);
        harness.advance(1_000);
        const { nowMs, rows } = await schedules.lease('one', LIMITS);
        const [row] = rows.filter((each) => each.caller === caller);
        expect(row).toMatchObject({ id: 'a', dueAtMs, expireAtMs: 0, firedAtMs: nowMs, again: false });
        expect([textOf(row!.content), textOf(row!.body)]).toEqual(['content of a', 'body of a']);
        expect(row!.members).toBeUndefined();
        expect(nowMs).toBeGreaterThanOrEqual(dueAtMs);
        expect(await schedules.get(caller, 'a')).toMatchObject({ state: 'firing', firedAtMs: nowMs });
        await schedules.finish('one', [{ seq: row!.seq, state: 'fired' }]);
        expect(await schedules.get(caller, 'a')).toMatchObject({ state: 'fired', firedAtMs: nowMs });
        expect(await fireAll(schedules)).toEqual([]);
      });

      test('comes in the order of the times, then of acceptance, however it is put and leased', async () => {
        const caller = freshCaller();
        const base = await now();
        await schedules.put([push(caller, 'late', { dueAtMs: base - 10 })]);
        await schedules.put(['a', 'b', 'c', 'd', 'e'].map((id) => push(caller, id, { dueAtMs: base - 20 })));
        await schedules.put([push(caller, 'early', { dueAtMs: base - 30 })]);
        const fired = await fireAll(schedules, 'one', { ...LIMITS, maxRows: 2 });
        expect(fired.filter((row) => row.caller === caller).map(({ id }) => id)).toEqual([
          'early',
          'a',
          'b',
          'c',
          'd',
          'e',
          'late',
        ]);
      });

      test('is leased within the limits, and one row in any case', async () => {
        const caller = freshCaller();
        const dueAtMs = (await now()) - 1;
        await schedules.put(
          ['a', 'b', 'c'].map((id) => push(caller, id, { dueAtMs, body: Buffer.alloc(500) })),
        );
        const leases: string[][] = [];
        for (const maxBytes of [10, 1_100, 1_100]) {
          const { rows } = await schedules.lease('one', { ...LIMITS, maxBytes });
          leases.push(rows.map(({ id }) => id));
          await schedules.finish(
            'one',
            rows.map(({ seq }) => ({ seq, state: 'fired' })),
          );
        }
        expect(leases).toEqual([['a'], ['b', 'c'], []]);
      });

      test('of a caller is leased to one owner at a time; what another finds is after the lease ran out, in the same order', async () => {
        const caller = freshCaller();
        const other = harness.other ?? schedules;
        const dueAtMs = (await now()) - 1;
        await schedules.put(['a', 'b', 'c'].map((id) => push(caller, id, { dueAtMs })));
        const first = await schedules.lease('one', { ...LIMITS, maxRows: 2 });
        expect(first.rows.map(({ id }) => id)).toEqual(['a', 'b']);
        expect(await leasedIds(other, 'two', caller)).toEqual([]);
        harness.advance(1_500);
        await schedules.renew('one', 2_000);
        harness.advance(1_500);
        expect(await leasedIds(other, 'two', caller)).toEqual([]);
        harness.advance(600);
        const second = await other.lease('two', LIMITS);
        expect(second.rows.map(({ id, again }) => [id, again])).toEqual([
          ['a', true],
          ['b', true],
          ['c', false],
        ]);
        // The time of acceptance stays.
        expect(second.rows[0]!.firedAtMs).toBe(first.rows[0]!.firedAtMs);
        // Who was slow tells the truth all the same, and ends nobody else's lease.
        await schedules.finish(
          'one',
          first.rows.map(({ seq }) => ({ seq, state: 'fired' })),
        );
        expect(await leasedIds(schedules, 'one', caller)).toEqual([]);
        await other.finish(
          'two',
          second.rows.map(({ seq }) => ({ seq, state: 'fired' })),
        );
        expect((await schedules.get(caller, 'c'))?.state).toBe('fired');
        expect(await fireAll(schedules)).toEqual([]);
      });

      test('and stays in firing for an hour gets a newer time', async () => {
        const caller = freshCaller();
        await schedules.put([push(caller, 'a', { dueAtMs: (await now()) - 1 })]);
        const first = await schedules.lease('one', LIMITS);
        harness.advance(3_700_000);
        const second = await schedules.lease('one', LIMITS);
        const rows = second.rows.filter((row) => row.caller === caller);
        expect(rows.map(({ id, again, firedAtMs }) => [id, again, firedAtMs])).toEqual([
          ['a', true, second.nowMs],
        ]);
        expect(second.nowMs).toBeGreaterThan(first.nowMs + 3_600_000);
        await fireAll(schedules, 'one');
      });

      test('and failed is told so, and put again is over', async () => {
        const caller = freshCaller();
        const failing = push(caller, 'a', { dueAtMs: (await now()) - 1 });
        await schedules.put([failing]);
        const { rows } = await schedules.lease('one', LIMITS);
        await schedules.finish(
          'one',
          rows.map(({ seq }) => ({ seq, state: 'failed' })),
        );
        expect((await schedules.get(caller, 'a'))?.state).toBe('failed');
        expect(await schedules.put([failing])).toEqual([{ outcome: 'ended' }]);
        expect(await schedules.cancel(caller, 'a')).toBe('too_late');
      });
    });

    describe('cancelling', () => {
      test('ends what waits; what is in firing or was fired is too late; anything else is not found', async () => {
        const caller = freshCaller();
        const base = await now();
        const waiting = push(caller, 'waiting', { dueAtMs: base + 60_000 });
        await schedules.put([waiting, push(caller, 'due', { dueAtMs: base - 1 })]);
        expect(await schedules.cancel(caller, 'waiting')).toBe('cancelled');
        expect(await schedules.cancel(caller, 'waiting')).toBe('cancelled');
        expect(await schedules.put([waiting])).toEqual([{ outcome: 'ended' }]);
        expect(await schedules.cancel(caller, 'nothing')).toBe('not_found');
        expect(await schedules.cancel(freshCaller(), 'waiting')).toBe('not_found');
        const { rows } = await schedules.lease('one', LIMITS);
        expect(await schedules.cancel(caller, 'due')).toBe('too_late');
        await schedules.finish(
          'one',
          rows.map(({ seq }) => ({ seq, state: 'fired' })),
        );
        expect(await schedules.cancel(caller, 'due')).toBe('too_late');
        harness.advance(60_001);
        expect(await fireAll(schedules)).toEqual([]);
        expect((await schedules.get(caller, 'waiting'))?.state).toBe('cancelled');
      });

      test('and firing at once: what is told as cancelled is not leased, what is leased is told as too late', async () => {
        const caller = freshCaller();
        const ids = Array.from({ length: 40 }, (_, index) => `id ${index}`);
        const dueAtMs = (await now()) - 1;
        await schedules.put(ids.map((id) => push(caller, id, { dueAtMs })));
        const [fired, cancelled] = await Promise.all([
          fireAll(harness.other ?? schedules, 'two', { ...LIMITS, maxRows: 3 }),
          Promise.all(ids.map(async (id) => [id, await schedules.cancel(caller, id)] as const)),
        ]);
        const gone = cancelled.filter(([, answer]) => answer === 'cancelled').map(([id]) => id);
        const told = [...gone, ...fired.map(({ id }) => id)].sort();
        expect(told).toEqual([...ids].sort());
      });
    });

    describe('a group', () => {
      test('is leased as one after its window from the first, with its members in order', async () => {
        const caller = freshCaller();
        const base = await now();
        const [first] = await schedules.put([member(caller, 'a', { acceptedAtMs: 5 })]);
        const dueAtMs = first!.outcome === 'put' ? first!.dueAtMs : 0;
        expect(dueAtMs - base).toBeGreaterThanOrEqual(10_000);
        expect(dueAtMs - base).toBeLessThan(11_000);
        harness.advance(5_000);
        expect(
          await schedules.put([
            member(caller, 'b', { acceptedAtMs: 6 }),
            member(caller, 'a'),
            member(caller, 'c'),
          ]),
        ).toEqual([
          { outcome: 'put', dueAtMs },
          { outcome: 'duplicate', dueAtMs },
          { outcome: 'put', dueAtMs },
        ]);
        expect(await schedules.get(caller, 'd-a')).toMatchObject({ kind: 'digest', members: 3, dueAtMs });
        expect(await schedules.get(caller, 'b')).toMatchObject({
          kind: 'member',
          digestId: 'd-a',
          bodyBytes: 3,
        });
        expect(await leasedIds(schedules, 'one', caller)).toEqual([]);
        harness.advance(5_001);
        const fired = await fireAll(schedules);
        expect(fired.map(({ id }) => id)).toEqual(['d-a']);
        expect(textOf(fired[0]!.content)).toBe('template');
        expect(
          fired[0]!.members?.map(({ id, acceptedAtMs, item }) => [id, acceptedAtMs, textOf(item)]),
        ).toEqual([
          ['a', 5, '"a"'],
          ['b', 6, '"b"'],
          ['c', 1_000, '"c"'],
        ]);
        expect((await schedules.get(caller, 'b'))?.state).toBe('fired');
        // The next is of another digest, a repeat still of the old one.
        expect((await schedules.put([member(caller, 'b')]))[0]?.outcome).toBe('duplicate');
        await schedules.put([member(caller, 'e')]);
        expect(await schedules.get(caller, 'e')).toMatchObject({ digestId: 'd-e' });
        await schedules.cancel(caller, 'd-e');
      });

      test('is due at once with so many, and goes on in another; other groups and callers are not counted', async () => {
        const caller = freshCaller();
        const other = freshCaller();
        const put = (id: string, fields = {}) => member(caller, id, { maxCount: 2, ...fields });
        const answers = await schedules.put([
          put('a'),
          put('x', { group: 'h', maxCount: 5 }),
          member(other, 'o'),
          put('b'),
          put('c'),
        ]);
        const due = answers.map((answer) => (answer.outcome === 'put' ? answer.dueAtMs : 0));
        expect(due[3]).toBeLessThanOrEqual(await now());
        expect(due[4]).toBeGreaterThan(due[3]!);
        const fired = await fireAll(schedules);
        expect(fired.map(({ id, members }) => [id, members?.map((each) => each.id)])).toEqual([
          ['d-a', ['a', 'b']],
        ]);
        expect((await schedules.get(caller, 'a'))?.state).toBe('fired');
        for (const [who, id] of [
          [caller, 'd-c'],
          [caller, 'd-x'],
          [other, 'd-o'],
        ] as const)
          expect(await schedules.cancel(who, id)).toBe('cancelled');
        expect((await schedules.get(caller, 'c'))?.state).toBe('cancelled');
      });

      test('is split where it would be too large', async () => {
        const caller = freshCaller();
        const put = (id: string) => member(caller, id, { item: Buffer.alloc(40, 'x'), maxBytes: 100 });
        await schedules.put(['a', 'b', 'c', 'd', 'e'].map(put));
        const fired = await fireAll(schedules);
        expect(fired.map(({ members }) => members?.map(({ id }) => id))).toEqual([
          ['a', 'b'],
          ['c', 'd'],
        ]);
        expect(await schedules.get(caller, 'd-e')).toMatchObject({ members: 1, state: 'waiting' });
        await schedules.cancel(caller, 'd-e');
      });

      test('loses a member that is cancelled, and ends with the last of them', async () => {
        const caller = freshCaller();
        await schedules.put(['a', 'b'].map((id) => member(caller, id)));
        expect(await schedules.cancel(caller, 'a')).toBe('cancelled');
        expect(await schedules.get(caller, 'd-a')).toMatchObject({ members: 1, state: 'waiting' });
        harness.advance(10_001);
        const { rows } = await schedules.lease('one', LIMITS);
        expect(rows.map(({ members }) => members?.map(({ id }) => id))).toEqual([['b']]);
        expect(await schedules.cancel(caller, 'b')).toBe('too_late');
        expect(await schedules.cancel(caller, 'd-a')).toBe('too_late');
        // One that comes while it is being fired opens another.
        await schedules.put([member(caller, 'late')]);
        await schedules.finish(
          'one',
          rows.map(({ seq }) => ({ seq, state: 'fired' })),
        );
        expect(await schedules.get(caller, 'late')).toMatchObject({ digestId: 'd-late', state: 'waiting' });
        expect(await schedules.cancel(caller, 'late')).toBe('cancelled');
        expect((await schedules.get(caller, 'd-late'))?.state).toBe('cancelled');
      });

      test('expires with the last of its members', async () => {
        const caller = freshCaller();
        await schedules.put([
          member(caller, 'a', { expireAtMs: 5_000 }),
          member(caller, 'b', { expireAtMs: 7_000 }),
          member(caller, 'c', { group: 'never', expireAtMs: 7_000 }),
          member(caller, 'd', { group: 'never', expireAtMs: 0 }),
        ]);
        expect((await schedules.get(caller, 'd-a'))?.expireAtMs).toBe(7_000);
        expect((await schedules.get(caller, 'd-c'))?.expireAtMs).toBe(0);
        for (const id of ['d-a', 'd-c']) await schedules.cancel(caller, id);
      });

      test('of many who put at once has each of them in one digest', async () => {
        const caller = freshCaller();
        const ids = Array.from({ length: 24 }, (_, index) => `m${index}`);
        await Promise.all(
          ids.map((id, index) =>
            (index % 2 ? (harness.other ?? schedules) : schedules).put([member(caller, id, { maxCount: 5 })]),
          ),
        );
        harness.advance(10_001);
        const fired = await fireAll(schedules);
        expect(fired.flatMap(({ members }) => members!.map(({ id }) => id)).sort()).toEqual([...ids].sort());
        expect(fired.every(({ members }) => members!.length <= 5)).toBe(true);
        expect(fired.filter(({ members }) => members!.length === 5)).toHaveLength(4);
      });
    });

    describe('a list', () => {
      test('has the rows of a caller by time, page by page, of the states that are asked for', async () => {
        const caller = freshCaller();
        const base = (await now()) + 60_000;
        const ids = ['c', 'a', 'b', 'd', 'e'];
        await schedules.put(
          ids.map((id) => push(caller, id, { dueAtMs: base + (id === 'd' ? 1 : id.charCodeAt(0)) })),
        );
        await schedules.cancel(caller, 'b');
        const pages: string[][] = [];
        let after: SchedulePlace | undefined;
        do {
          const page = await schedules.list({ caller, states: ['waiting', 'cancelled'], after, limit: 2 });
          pages.push(page.rows.map(({ id }) => id));
          after = page.next;
        } while (after);
        expect(pages).toEqual([['d', 'a'], ['b', 'c'], ['e']]);
        const waiting = await schedules.list({ caller, states: ['waiting'], limit: 10 });
        expect(waiting.rows.map(({ id }) => id)).toEqual(['d', 'a', 'c', 'e']);
        expect(waiting.next).toBeUndefined();
        expect(textOf(waiting.rows[0]!.content)).toBe('content of d');
        expect(await schedules.list({ caller: freshCaller(), states: ['waiting'], limit: 10 })).toEqual({
          rows: [],
          next: undefined,
        });
      });

      test('has shorter pages where contents are large', async () => {
        const caller = freshCaller();
        const dueAtMs = (await now()) + 60_000;
        const content = Buffer.alloc(900_000);
        await schedules.put(['a', 'b', 'c'].map((id) => push(caller, id, { dueAtMs, content })));
        const first = await schedules.list({ caller, states: ['waiting'], limit: 10 });
        expect(first.rows.map(({ id }) => id)).toEqual(['a', 'b']);
        const rest = await schedules.list({ caller, states: ['waiting'], after: first.next, limit: 10 });
        expect(rest.rows.map(({ id }) => id)).toEqual(['c']);
      });
    });

    test('what ended is removed once it was kept long enough, and nothing else', async () => {
      const caller = freshCaller();
      const base = await now();
      await schedules.put([
        push(caller, 'fired', { dueAtMs: base - 1 }),
        push(caller, 'cancelled', { dueAtMs: base + 9_000_000_000 }),
        push(caller, 'waiting', { dueAtMs: base + 9_000_000_000 }),
        member(caller, 'm', { windowMs: 1 }),
      ]);
      await schedules.cancel(caller, 'cancelled');
      harness.advance(5);
      await fireAll(schedules);
      harness.advance(86_400_000 - 1_000);
      await schedules.retain(86_400_000);
      expect((await schedules.get(caller, 'fired'))?.state).toBe('fired');
      harness.advance(2_000);
      while ((await schedules.retain(86_400_000)) > 0);
      for (const id of ['fired', 'cancelled', 'm', 'd-m'])
        expect(await schedules.get(caller, id)).toBeUndefined();
      expect((await schedules.get(caller, 'waiting'))?.state).toBe('waiting');
      // Its id is free again.
      expect(
        (await schedules.put([push(caller, 'fired', { digest: 'other', dueAtMs: base - 1 })]))[0],
      ).toMatchObject({
        outcome: 'put',
      });
      await fireAll(schedules);
    });

    recurringContract(() => harness);
  });
}
