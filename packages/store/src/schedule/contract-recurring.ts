import { describe, expect, test } from '@jest/globals';

import { fireAll, freshCaller, push, textOf, type SchedulesHarness } from './contract-fixture.js';
import { occurrenceId, type Advance, type NewRecurring } from './recurring.js';

/** What every store of schedules does with recurring pushes. */
export function recurringContract(harness: () => SchedulesHarness): void {
  const store = () => harness().schedules;
  const now = async (): Promise<number> => (await store().next()).nowMs;
  const recurring = (caller: string, name: string, fields: Partial<NewRecurring> = {}): NewRecurring => ({
    caller,
    name,
    cron: '* * * * *',
    timeZone: 'UTC',
    endAtMs: 0,
    expireAfterMs: 0,
    content: Buffer.from(`content of ${name}`),
    body: Buffer.from(`body of ${name}`),
    digest: `digest of ${name}`,
    nextAtMs: undefined,
    ...fields,
  });
  const dueOf = async (caller: string) =>
    (await store().dueRecurring(100)).due.filter((one) => one.caller === caller);

  describe('a recurring push', () => {
    test('is there as it was put, page by page by name, until it is deleted', async () => {
      const caller = freshCaller();
      const nextAtMs = (await now()) + 60_000;
      const put = recurring(caller, 'b', {
        nextAtMs,
        endAtMs: 9,
        expireAfterMs: 8,
        timeZone: 'Europe/Berlin',
      });
      for (const one of [recurring(caller, 'c'), put, recurring(caller, 'a'), recurring(freshCaller(), 'z')])
        await store().putRecurring(one);
      const row = await store().getRecurring(caller, 'b');
      expect({ ...row, content: textOf(row!.content), body: textOf(row!.body) }).toEqual({
        ...put,
        content: 'content of b',
        body: 'body of b',
        revision: 1,
        lastAtMs: undefined,
        missed: 0,
      });
      const first = await store().listRecurring(caller, undefined, 2);
      expect([first.rows.map(({ name }) => name), first.more]).toEqual([['a', 'b'], true]);
      const second = await store().listRecurring(caller, 'b', 2);
      expect([second.rows.map(({ name }) => name), second.more]).toEqual([['c'], false]);
      expect(await store().deleteRecurring(caller, 'b')).toBe(true);
      expect(await store().deleteRecurring(caller, 'b')).toBe(false);
      expect(await store().getRecurring(caller, 'b')).toBeUndefined();
      expect((await store().listRecurring(caller, undefined, 5)).rows.map(({ name }) => name)).toEqual([
        'a',
        'c',
      ]);
    });

    test('becomes a schedule at each occurrence, once, whoever moves it on', async () => {
      const caller = freshCaller();
      const nextAtMs = (await now()) + 60_000;
      await store().putRecurring(recurring(caller, 'daily', { nextAtMs }));
      expect((await store().next()).recurringAtMs).toBeLessThanOrEqual(nextAtMs);
      expect(await dueOf(caller)).toEqual([]);
      harness().advance(60_001);
      const [due] = await dueOf(caller);
      expect(due).toMatchObject({ name: 'daily', nextAtMs, revision: 1 });
      const step: Advance = {
        caller,
        name: 'daily',
        revision: 1,
        dueAtMs: nextAtMs,
        expireAtMs: nextAtMs + 5_000,
        nextAtMs: nextAtMs + 60_000,
        missed: 2,
      };
      const both = await Promise.all([store().advance(step), (harness().other ?? store()).advance(step)]);
      expect(both.filter((done) => done === true)).toHaveLength(1);
      expect(both).toContain(false);
      expect(await store().getRecurring(caller, 'daily')).toMatchObject({
        nextAtMs: nextAtMs + 60_000,
        lastAtMs: nextAtMs,
        missed: 2,
      });
      const id = occurrenceId('daily', nextAtMs);
      expect(id).toBe(`daily@${nextAtMs}`);
      expect(await store().get(caller, id)).toMatchObject({ state: 'waiting', recurring: 'daily' });
      const fired = await fireAll(store());
      expect(fired.map((row) => [row.id, row.expireAtMs, textOf(row.content), textOf(row.body)])).toEqual([
        [id, nextAtMs + 5_000, 'content of daily', 'body of daily'],
      ]);
      expect(await dueOf(caller)).toEqual([]);
      harness().advance(60_000);
      expect(await dueOf(caller)).toHaveLength(1);
      await store().deleteRecurring(caller, 'daily');
      expect(await dueOf(caller)).toEqual([]);
    });

    test('that was put anew in between is not moved on, and counts from there', async () => {
      const caller = freshCaller();
      const nextAtMs = (await now()) - 1;
      const step = { caller, name: 'n', revision: 1, dueAtMs: nextAtMs, expireAtMs: 0, missed: 3 };
      await store().putRecurring(recurring(caller, 'n', { nextAtMs }));
      await store().putRecurring(recurring(caller, 'n', { nextAtMs, cron: '0 0 * * *' }));
      expect(await store().advance({ ...step, nextAtMs: undefined })).toBe(false);
      expect(await store().advance({ ...step, revision: 2, nextAtMs: undefined })).toBe(true);
      const row = await store().getRecurring(caller, 'n');
      expect(row).toMatchObject({ cron: '0 0 * * *', missed: 3, nextAtMs: undefined, lastAtMs: nextAtMs });
      expect(await dueOf(caller)).toEqual([]);
      expect(await fireAll(store())).toHaveLength(1);
    });

    test('whose occurrence has the id of another push leaves that one out', async () => {
      const caller = freshCaller();
      const nextAtMs = (await now()) - 1;
      await store().put([push(caller, occurrenceId('n', nextAtMs), { dueAtMs: nextAtMs })]);
      await store().putRecurring(recurring(caller, 'n', { nextAtMs }));
      const step = { caller, name: 'n', revision: 1, dueAtMs: nextAtMs, expireAtMs: 0, missed: 0 };
      expect(await store().advance({ ...step, nextAtMs: undefined })).toBe('taken');
      expect((await fireAll(store())).map(({ body }) => textOf(body))).toEqual([
        `body of ${occurrenceId('n', nextAtMs)}`,
      ]);
    });
  });
}
