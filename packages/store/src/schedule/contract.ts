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
import { groupContract } from './contract-groups.js';
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

    groupContract(() => harness);

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
