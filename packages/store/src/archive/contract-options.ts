import { expect, test } from '@jest/globals';

import { collapseIdOf } from '../streams/collapse.js';
import type { Archive } from './archive.js';
import {
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
export function optionsContract(archiveOf: () => Archive): void {
  test('a collapse key and a retention are kept with the entry', async () => {
    const [archive, epoch] = [archiveOf(), freshEpoch()];
    const rows = [
      row('u/1', 1, { collapseKey: 'k ü', retentionMs: 2 ** 50 }),
      row('u/1', 2, { collapseKey: 'k', keys: [key('web')] }),
      row('u/1', 3, { retentionMs: 1 }),
    ];
    await store(archive, epoch, rows);
    expect(await readAll(archive, epoch, 'u/1')).toStrictEqual(rows.map(archived));
  });

  test('the newest entry of a collapse key is known as long as it is there', async () => {
    const [archive, epoch] = [archiveOf(), freshEpoch()];
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
    const [archive, epoch] = [archiveOf(), freshEpoch()];
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
}
