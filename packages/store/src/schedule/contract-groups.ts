import { describe, expect, test } from '@jest/globals';

import {
  fireAll,
  freshCaller,
  leasedIds,
  LIMITS,
  member,
  textOf,
  type SchedulesHarness,
} from './contract-fixture.js';

/** What every store of schedules does with groups. */
export function groupContract(harness: () => SchedulesHarness): void {
  const store = () => harness().schedules;
  const now = async (): Promise<number> => (await store().next()).nowMs;

  describe('a group', () => {
    test('is leased as one after its window from the first, with its members in order', async () => {
      const caller = freshCaller();
      const base = await now();
      const [first] = await store().put([member(caller, 'a', { acceptedAtMs: 5 })]);
      const dueAtMs = first!.outcome === 'put' ? first!.dueAtMs : 0;
      expect(dueAtMs - base).toBeGreaterThanOrEqual(10_000);
      expect(dueAtMs - base).toBeLessThan(11_000);
      harness().advance(5_000);
      expect(
        await store().put([
          member(caller, 'b', { acceptedAtMs: 6 }),
          member(caller, 'a'),
          member(caller, 'c'),
        ]),
      ).toEqual([
        { outcome: 'put', dueAtMs },
        { outcome: 'duplicate', dueAtMs },
        { outcome: 'put', dueAtMs },
      ]);
      expect(await store().get(caller, 'd-a')).toMatchObject({ kind: 'digest', members: 3, dueAtMs });
      expect(await store().get(caller, 'b')).toMatchObject({
        kind: 'member',
        digestId: 'd-a',
        bodyBytes: 3,
      });
      expect(await leasedIds(store(), 'one', caller)).toEqual([]);
      harness().advance(5_001);
      const fired = await fireAll(store());
      expect(fired.map(({ id }) => id)).toEqual(['d-a']);
      expect(textOf(fired[0]!.content)).toBe('template');
      expect(
        fired[0]!.members?.map(({ id, acceptedAtMs, item }) => [id, acceptedAtMs, textOf(item)]),
      ).toEqual([
        ['a', 5, '"a"'],
        ['b', 6, '"b"'],
        ['c', 1_000, '"c"'],
      ]);
      expect((await store().get(caller, 'b'))?.state).toBe('fired');
      // The next is of another digest, a repeat still of the old one.
      expect((await store().put([member(caller, 'b')]))[0]?.outcome).toBe('duplicate');
      await store().put([member(caller, 'e')]);
      expect(await store().get(caller, 'e')).toMatchObject({ digestId: 'd-e' });
      await store().cancel(caller, 'd-e');
    });

    test('is due at once with so many, and goes on in another; other groups and callers are not counted', async () => {
      const caller = freshCaller();
      const other = freshCaller();
      const put = (id: string, fields = {}) => member(caller, id, { maxCount: 2, ...fields });
      const answers = await store().put([
        put('a'),
        put('x', { group: 'h', maxCount: 5 }),
        member(other, 'o'),
        put('b'),
        put('c'),
      ]);
      const due = answers.map((answer) => (answer.outcome === 'put' ? answer.dueAtMs : 0));
      expect(due[3]).toBeLessThanOrEqual(await now());
      expect(due[4]).toBeGreaterThan(due[3]!);
      const fired = await fireAll(store());
      expect(fired.map(({ id, members }) => [id, members?.map((each) => each.id)])).toEqual([
        ['d-a', ['a', 'b']],
      ]);
      expect((await store().get(caller, 'a'))?.state).toBe('fired');
      for (const [who, id] of [
        [caller, 'd-c'],
        [caller, 'd-x'],
        [other, 'd-o'],
      ] as const)
        expect(await store().cancel(who, id)).toBe('cancelled');
      expect((await store().get(caller, 'c'))?.state).toBe('cancelled');
    });

    test('is split where it would be too large', async () => {
      const caller = freshCaller();
      const put = (id: string) => member(caller, id, { item: Buffer.alloc(40, 'x'), maxBytes: 100 });
      await store().put(['a', 'b', 'c', 'd', 'e'].map(put));
      const fired = await fireAll(store());
      expect(fired.map(({ members }) => members?.map(({ id }) => id))).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ]);
      expect(await store().get(caller, 'd-e')).toMatchObject({ members: 1, state: 'waiting' });
      await store().cancel(caller, 'd-e');
    });

    test('loses a member that is cancelled, and ends with the last of them', async () => {
      const caller = freshCaller();
      await store().put(['a', 'b'].map((id) => member(caller, id)));
      expect(await store().cancel(caller, 'a')).toBe('cancelled');
      expect(await store().get(caller, 'd-a')).toMatchObject({ members: 1, state: 'waiting' });
      harness().advance(10_001);
      const { rows } = await store().lease('one', LIMITS);
      expect(rows.map(({ members }) => members?.map(({ id }) => id))).toEqual([['b']]);
      expect(await store().cancel(caller, 'b')).toBe('too_late');
      expect(await store().cancel(caller, 'd-a')).toBe('too_late');
      // One that comes while it is being fired opens another.
      await store().put([member(caller, 'late')]);
      await store().finish(
        'one',
        rows.map(({ seq }) => ({ seq, state: 'fired' })),
      );
      expect(await store().get(caller, 'late')).toMatchObject({ digestId: 'd-late', state: 'waiting' });
      expect(await store().cancel(caller, 'late')).toBe('cancelled');
      expect((await store().get(caller, 'd-late'))?.state).toBe('cancelled');
    });

    test('expires with the last of its members', async () => {
      const caller = freshCaller();
      await store().put([
        member(caller, 'a', { expireAtMs: 5_000 }),
        member(caller, 'b', { expireAtMs: 7_000 }),
        member(caller, 'c', { group: 'never', expireAtMs: 7_000 }),
        member(caller, 'd', { group: 'never', expireAtMs: 0 }),
      ]);
      expect((await store().get(caller, 'd-a'))?.expireAtMs).toBe(7_000);
      expect((await store().get(caller, 'd-c'))?.expireAtMs).toBe(0);
      for (const id of ['d-a', 'd-c']) await store().cancel(caller, id);
    });

    test('of many who put at once has each of them in one digest', async () => {
      const caller = freshCaller();
      const ids = Array.from({ length: 24 }, (_, index) => `m${index}`);
      await Promise.all(
        ids.map((id, index) =>
          (index % 2 ? (harness().other ?? store()) : store()).put([member(caller, id, { maxCount: 5 })]),
        ),
      );
      harness().advance(10_001);
      const fired = await fireAll(store());
      expect(fired.flatMap(({ members }) => members!.map(({ id }) => id)).sort()).toEqual([...ids].sort());
      expect(fired.every(({ members }) => members!.length <= 5)).toBe(true);
      expect(fired.filter(({ members }) => members!.length === 5)).toHaveLength(4);
    });
  });
}
