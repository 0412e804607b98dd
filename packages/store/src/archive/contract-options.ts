import { expect, test } from '@jest/globals';

import { collapseIdOf } from '../streams/collapse.js';
import {
  type ArchiveHarness,
  archived,
  freshEpoch,
  historyOf,
  keeping,
  key,
  readAll,
  retainAll,
  row,
  store,
} from './contract-fixture.js';

const FIELDS = { operation: 4, collapseKey: 'k', keys: [] };
const ID = collapseIdOf(FIELDS)!;

/** What the archive makes of what a push was accepted with. */
export function optionsContract(harnessOf: () => ArchiveHarness): void {
  test('a collapse key and a retention are kept with the entry', async () => {
    const [{ archive }, epoch] = [harnessOf(), freshEpoch()];
    const rows = [
      row('u/1', 1, { collapseKey: 'k ü', retentionMs: 2 ** 50 }),
      row('u/1', 2, { collapseKey: 'k', keys: [key('web')] }),
      row('u/1', 3, { retentionMs: 1 }),
    ];
    await store(archive, epoch, rows);
    expect(await readAll(archive, epoch, 'u/1')).toStrictEqual(rows.map(archived));
  });

  test('the newest entry of a collapse key is known as long as it is there', async () => {
    const [{ archive }, epoch] = [harnessOf(), freshEpoch()];
    const forWeb = collapseIdOf({ ...FIELDS, keys: [key('web')] })!;
    await store(archive, epoch, [row('u/1', 1, FIELDS), row('u/2', 1, FIELDS), row('u/1', 2, FIELDS)]);
    await store(archive, epoch, [row('u/1', 3, { ...FIELDS, keys: [key('web')] }), row('u/1', 4)]);
    const of = async (stream: string, ...ids: string[]) =>
      Object.fromEntries(await archive.collapsed(epoch, stream, ids));
    expect(await of('u/1', ID, forWeb, 'x'.repeat(22))).toEqual({ [ID]: 2, [forWeb]: 3 });
    expect(await of('u/2', ID)).toEqual({ [ID]: 1 });
    expect(await of('u/1')).toEqual({});
    expect((await archive.collapsed(freshEpoch(), 'u/1', [ID])).size).toBe(0);
    // The first entry goes, the newest of its id stays.
    await retainAll(archive, keeping({ maxEntries: 3 }, { maxEntries: 3 }));
    expect(await of('u/1', ID)).toEqual({ [ID]: 2 });
    await retainAll(archive, keeping({ maxEntries: 2 }, { maxEntries: 2 }));
    expect(await of('u/1', ID, forWeb)).toEqual({ [forWeb]: 3 });
    expect(await historyOf(archive, epoch, 'u/1')).toEqual([3, 4]);
  });

  test('history and counts leave out what is over by then', async () => {
    const [{ archive }, epoch] = [harnessOf(), freshEpoch()];
    await store(archive, epoch, [
      row('u/1', 1, { acceptedAtMs: 100, retentionMs: 50 }),
      row('u/1', 2, { acceptedAtMs: 100, expireAtMs: 150 }),
      row('u/1', 3, { acceptedAtMs: 100, retentionMs: 51, expireAtMs: 151 }),
      row('u/1', 4, { acceptedAtMs: 100 }),
    ]);
    const at = async (nowMs: number, maxEntries = 9) => {
      const query = { stream: 'u/1', direction: 'forward' as const, maxEntries, nowMs };
      const { entries, more } = await archive.history(epoch, query);
      return { positions: entries.map(({ position }) => position), more };
    };
    expect(await at(149)).toEqual({ positions: [1, 2, 3, 4], more: false });
    expect(await at(150, 1)).toEqual({ positions: [3], more: true });
    expect(await at(151)).toEqual({ positions: [4], more: false });
    expect(await historyOf(archive, epoch, 'u/1')).toEqual([1, 2, 3, 4]);
    const count = (nowMs: number) =>
      archive.count(epoch, { stream: 'u/1', after: -1, through: 9, notFrom: '7' as never, nowMs, max: 9 });
    expect([await count(149), await count(150), await count(151)]).toEqual([4, 2, 1]);
  });

  test('bodies whose own retention is over go, and all else of their entries stays', async () => {
    const [harness, epoch] = [harnessOf(), freshEpoch()];
    const { archive } = harness;
    const large = (text: string) => Buffer.from(text.repeat(1_000));
    const ends = (retentionMs: number) => ({ acceptedAtMs: 100, retentionMs });
    const rows = [
      row('u/1', 1, { ...ends(50), id: `${epoch} a` }),
      row('u/1', 2, { ...ends(51), body: large('b') }),
      row('u/2', 2, { ...ends(51), body: large('b') }),
      row('u/2', 3, { acceptedAtMs: 100, body: large('c') }),
      row('u/3', 3, { ...ends(51), body: large('c') }),
      row('u/3', 4, { acceptedAtMs: 1 }),
      row('u/3', 5, ends(1_000)),
    ];
    const sharedBefore = await harness.sharedBodies();
    await store(archive, epoch, rows);
    const found = await archive.find('test', `${epoch} a`, 9);
    expect(await archive.blank(149)).toBe(0);
    expect(await archive.blank(150)).toBe(1);
    expect(await archive.find('test', `${epoch} a`, 9)).toEqual(found);
    const read = async () => {
      const streams = await Promise.all(['u/1', 'u/2', 'u/3'].map((name) => readAll(archive, epoch, name)));
      return streams.flat();
    };
    const as = (blanked: readonly number[]) =>
      rows.map((one, at) => ({
        ...archived(one),
        ...(blanked.includes(at) && { body: new Uint8Array(0) }),
      }));
    expect(await read()).toEqual(as([0]));
    expect((await harness.sharedBodies()) - sharedBefore).toBe(2);
    expect(await archive.blank(151)).toBe(3);
    expect(await read()).toEqual(as([0, 1, 2, 4]));
    expect((await harness.sharedBodies()) - sharedBefore).toBe(1);
    expect(await archive.blank(151)).toBe(0);
    // What retention deletes is not waited for.
    await retainAll(archive, keeping({ maxEntries: 0 }, { maxEntries: 0 }));
    expect(await harness.sharedBodies()).toBe(sharedBefore);
    expect(await archive.blank(10_000)).toBe(0);
  });

  test('bodies go once, whoever is at it, while retention deletes some of their entries', async () => {
    const [harness, epoch] = [harnessOf(), freshEpoch()];
    const { archive } = harness;
    const rows = Array.from({ length: 600 }, (_, index) =>
      row(`u/${index % 3}`, Math.floor(index / 3), {
        acceptedAtMs: 100,
        retentionMs: 50 + (index % 3),
        body: Buffer.from(`${Math.floor(index / 3)}`.padEnd(300)),
      }),
    );
    const sharedBefore = await harness.sharedBodies();
    await store(archive, epoch, rows);
    const [blanked] = await Promise.all([
      Promise.all([1, 2, 3].map(() => archive.blank(1_000))),
      retainAll(archive, keeping({ maxEntries: 150 }, { maxEntries: 150 })),
    ]);
    const left = await archive.blank(1_000);
    expect([...blanked, left].reduce((sum, count) => sum + count)).toBeLessThanOrEqual(600);
    expect(await harness.sharedBodies()).toBe(sharedBefore);
    const kept = await readAll(archive, epoch, 'u/1');
    expect(kept.map(({ body }) => body.byteLength)).toEqual(Array.from({ length: 150 }, () => 0));
  });
}
