import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';

import {
  archived,
  comparable,
  floorOf,
  freshEpoch,
  type ArchiveHarness,
  historyOf,
  keeping,
  key,
  mid,
  readAll,
  retainAll,
  row,
  store,
} from './contract-fixture.js';
import { archiveModelTest } from './contract-model.js';
import { optionsContract } from './contract-options.js';
import { shardsContract } from './contract-shards.js';
import type { Archive } from './archive.js';

const EVERYTHING = { maxEntries: 1_000, maxBytes: 1e9 };

/** What every archive does. */
export function archiveContract(adapter: string, makeHarness: () => Promise<ArchiveHarness>): void {
  describe(`the archive on ${adapter}`, () => {
    let harness: ArchiveHarness;
    let archive: Archive;

    beforeAll(async () => {
      harness = await makeHarness();
      archive = harness.archive;
    });
    beforeEach(() => retainAll(archive, keeping({ maxEntries: 0 }, { maxEntries: 0 })));
    afterAll(() => archive.stop(1_000));

    const read = async (
      epoch: string,
      stream: string,
      after: number,
      through: number,
      limits: Partial<typeof EVERYTHING> = {},
    ) => {
      const page = await archive.read(epoch, { stream, after, through, ...EVERYTHING, ...limits });
      return { positions: page.entries.map(({ position }) => position), floor: page.floor, more: page.more };
    };

    test('an epoch of which nothing is archived has the watermark −1 and no entries', async () => {
      const epoch = freshEpoch();
      expect(await archive.watermark(3, epoch)).toBe(-1);
      expect(await read(epoch, 'u/1', -1, 100)).toEqual({ positions: [], floor: -1, more: false });
      expect(await historyOf(archive, epoch, 'u/1')).toEqual([]);
    });

    test('stores rows and moves the watermark of their shard, of their epoch', async () => {
      const epoch = freshEpoch();
      const batch = {
        shard: 3,
        from: -1,
        through: 4_096,
        entries: [row('u/1', 0), row('u/2', 1_024)],
      };
      expect(await archive.store(epoch, [batch])).toEqual([true]);
      expect(await archive.watermark(3, epoch)).toBe(4_096);
      expect(await archive.watermark(4, epoch)).toBe(-1);
      expect(await archive.watermark(3, `${epoch} `)).toBe(-1);
      expect(await read(epoch, 'u/1', -1, 4_096)).toEqual({ positions: [0], floor: -1, more: false });
      expect(await read(`${epoch} `, 'u/1', -1, 4_096)).toMatchObject({ positions: [] });
    });

    test('moves the watermark for a batch without rows', async () => {
      const epoch = freshEpoch();
      expect(await archive.store(epoch, [{ shard: 0, from: -1, through: 9, entries: [] }])).toEqual([true]);
      expect(await archive.store(epoch, [{ shard: 0, from: 9, through: 9, entries: [] }])).toEqual([true]);
      expect(await archive.store(epoch, [{ shard: 0, from: 9, through: 12, entries: [] }])).toEqual([true]);
      expect(await archive.watermark(0, epoch)).toBe(12);
    });

    test('writes nothing when the watermark is another one', async () => {
      const epoch = freshEpoch();
      await store(archive, epoch, [row('u/1', 5)]);
      for (const from of [-1, 4, 6]) {
        const batch = { shard: 0, from, through: 7, entries: [row('u/1', 7)] };
        expect(await archive.store(epoch, [batch])).toEqual([false]);
      }
      expect(await archive.watermark(0, epoch)).toBe(5);
      expect(await read(epoch, 'u/1', -1, 10)).toMatchObject({ positions: [5] });
    });

    test('of several that archive the same batch at once one does', async () => {
      const epoch = freshEpoch();
      const entries = Array.from({ length: 50 }, (_, index) => row(`u/${index % 7}`, index));
      const batch = { shard: 0, from: -1, through: 49, entries };
      const stored = await Promise.all([1, 2, 3, 4].map(() => archive.store(epoch, [batch])));
      expect(stored.flat().filter(Boolean)).toHaveLength(1);
      expect(await readAll(archive, epoch, 'u/3')).toHaveLength(7);
    });

    test('keeps who sent an entry, of a message of a client and of no other', async () => {
      const epoch = freshEpoch();
      const sender = {
        mid: mid('-9223372036854775808'),
        key: key('web ü'),
        clientId: 'c"1',
        toMid: mid('7'),
      };
      const rows = [row('u/1', 0, { sender }), row('u/1', 1), row('u/2', 1, { sender })];
      await store(archive, epoch, rows);
      const sent = await readAll(archive, epoch, 'u/1');
      expect(sent).toEqual(rows.slice(0, 2).map(archived));
      expect(sent.map((entry) => 'sender' in entry)).toEqual([true, false]);
      const query = { stream: 'u/2', direction: 'backward', maxEntries: 9 } as const;
      expect((await archive.history(epoch, query)).entries).toMatchObject([{ sender }]);
    });

    test('counts entries of others that are of use, up to a bound', async () => {
      const epoch = freshEpoch();
      const own = { mid: mid('1'), key: key('web'), clientId: 'c', toMid: mid('0') };
      const other = { ...own, mid: mid('2') };
      await store(archive, epoch, [
        row('r/a', 0),
        row('r/a', 1, { sender: own }),
        row('r/a', 2, { sender: other, expireAtMs: 5_000 }),
        row('r/a', 3, { expireAtMs: 5_001 }),
        row('r/a', 9, { sender: other }),
        row('r/b', 4),
      ]);
      const count = (fields: object = {}) =>
        archive.count(epoch, {
          stream: 'r/a',
          after: -1,
          through: 100,
          notFrom: mid('1'),
          nowMs: 5_000,
          max: 10,
          ...fields,
        });
      expect(await count()).toBe(3);
      expect(await count({ notFrom: mid('2') })).toBe(3);
      expect(await count({ nowMs: 4_999 })).toBe(4);
      expect(await count({ after: 0 })).toBe(2);
      expect(await count({ through: 8 })).toBe(2);
      expect(await count({ max: 2 })).toBe(2);
      expect(await count({ max: 1, after: 0 })).toBe(0);
      expect(await count({ stream: 'r/c' })).toBe(0);
    });

    test('finds entries by caller and id, in every stream and epoch, until retention takes them', async () => {
      const [first, second] = [freshEpoch(), freshEpoch()];
      const id = `order ${first}`;
      const body = Buffer.alloc(1_000, 1);
      const mine = row('u/2', 7, { id, body, keys: [key('web')], expireAtMs: 9_000, operation: 5 });
      await store(archive, first, [mine, row('u/10', 7, { id, body }), row('u/2', 8)]);
      await store(archive, first, [row('u/2', 9, { id, caller: 'another' })]);
      await store(archive, second, [row('r/a', 1, { id }), row('r/a', 2, { id: `${id}0` })]);
      const places = async (caller: string, asked: string, max = 10) =>
        (await archive.find(caller, asked, max)).map((entry) => `${entry.stream} ${entry.position}`);
      expect(await places('test', id)).toEqual(['r/a 1', 'u/10 7', 'u/2 7']);
      expect(await places('test', id, 2)).toHaveLength(2);
      expect(await places('another', id)).toEqual(['u/2 9']);
      expect(await places('test', id.toUpperCase())).toEqual([]);
      expect(await places('test ', `${id} `)).toEqual([]);
      const { prev: _, body: __, ...entry } = mine.entry;
      expect((await archive.find('test', id, 10))[2]).toEqual({
        ...entry,
        stream: 'u/2',
        epoch: first,
        bodyBytes: 1_000,
      });
      await retainAll(archive, keeping({ maxEntries: 0 }, { maxEntries: 0 }));
      expect(await places('test', id)).toEqual([]);
    });

    test('leaves rows that are there as they are, and counts them once', async () => {
      const epoch = freshEpoch();
      const big = Buffer.alloc(1_000, 7);
      const rows = [row('u/1', 2, { body: big }), row('u/2', 2, { body: big }), row('u/1', 3)];
      await archive.store(epoch, [{ shard: 0, from: -1, through: 1, entries: rows }]);
      const changed = [
        ...rows.map((one) => ({ ...one, entry: { ...one.entry, id: 'other' } })),
        row('u/1', 4),
      ];
      expect(await archive.store(epoch, [{ shard: 0, from: 1, through: 4, entries: changed }])).toEqual([
        true,
      ]);
      expect((await readAll(archive, epoch, 'u/1')).map(({ id }) => id)).toEqual(['id-2', 'id-3', 'id-4']);
      await retainAll(archive, keeping({ maxEntries: 2 }));
      expect(await floorOf(archive, epoch, 'u/1')).toBe(2);
    });

    test('answers entries as they were: every field, any bytes, positions up to 2^53 − 1', async () => {
      const epoch = freshEpoch();
      const rows = [
        row('u/9007199254740993', 1, {
          id: 'goim:3:9 ü😀\n',
          operation: -2_147_483_648,
          body: Uint8Array.from({ length: 256 }, (_, byte) => byte),
          keys: [key('a "key"'), key('zweiter ü')],
          acceptedAtMs: 1_795_270_000_123,
          expireAtMs: 8_640_000_000_000_000,
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
          caller: "it's\\a 'caller'",
        }),
        row('u/9007199254740993', Number.MAX_SAFE_INTEGER - 1, { body: Buffer.alloc(0), id: '', caller: '' }),
        row('u/9007199254740993', Number.MAX_SAFE_INTEGER, { operation: 2_147_483_647 }),
      ];
      await store(archive, epoch, rows);
      expect(await readAll(archive, epoch, 'u/9007199254740993')).toEqual(rows.map(archived));
      const { entries } = await archive.history(epoch, {
        stream: 'u/9007199254740993',
        direction: 'backward',
        maxEntries: 10,
      });
      expect(entries.map(comparable)).toEqual(rows.map(archived).toReversed());
      expect(await archive.watermark(0, epoch)).toBe(Number.MAX_SAFE_INTEGER);
    });

    test('tells streams apart by every byte of their names, however long they are', async () => {
      const epoch = freshEpoch();
      const long = `r/live://${'raum/ü '.repeat(200)}`;
      const names = [
        'r/live://a',
        'r/live://A',
        'r/live://a ',
        'r/live://ä',
        'r/live://a\u0308',
        'r/live://a%',
        `r/live://${'x'.repeat(246)}`,
        `r/live://${'x'.repeat(247)}`,
        long,
        `${long}x`,
      ];
      await store(
        archive,
        epoch,
        names.map((name, index) => row(name, index)),
      );
      for (const [index, name] of names.entries()) {
        expect(await read(epoch, name, -1, 100)).toMatchObject({ positions: [index] });
      }
    });

    test('reads above `after` and up to `through`, in order, and says what it cut off', async () => {
      const epoch = freshEpoch();
      const positions = [3, 1_024, 1_025, 5_000, 70_000];
      await store(archive, epoch, [
        ...positions.toReversed().map((position) => row('r/a://b', position)),
        row('r/a://c', 4_000),
      ]);
      expect(await read(epoch, 'r/a://b', -1, 80_000)).toMatchObject({ positions, more: false });
      expect(await read(epoch, 'r/a://b', 3, 5_000)).toMatchObject({
        positions: [1_024, 1_025, 5_000],
        more: false,
      });
      expect(await read(epoch, 'r/a://b', 2, 4_999, { maxEntries: 2 })).toMatchObject({
        positions: [3, 1_024],
        more: true,
      });
      expect(await read(epoch, 'r/a://b', 2, 1_024, { maxEntries: 2 })).toMatchObject({
        positions: [3, 1_024],
        more: false,
      });
      expect(await read(epoch, 'r/a://b', 70_000, 80_000)).toMatchObject({ positions: [], more: false });
    });

    test('reads no more bytes of bodies than asked for, but one entry', async () => {
      const epoch = freshEpoch();
      const body = Buffer.alloc(1_000, 1);
      await store(
        archive,
        epoch,
        [1, 2, 3].map((position) => row('u/1', position, { body })),
      );
      expect(await read(epoch, 'u/1', -1, 9, { maxBytes: 10 })).toMatchObject({ positions: [1], more: true });
      expect(await read(epoch, 'u/1', -1, 9, { maxBytes: 2_000 })).toMatchObject({
        positions: [1, 2],
        more: true,
      });
      expect(await read(epoch, 'u/1', 1, 9, { maxBytes: 2_000 })).toMatchObject({
        positions: [2, 3],
        more: false,
      });
      const page = await archive.history(epoch, {
        stream: 'u/1',
        direction: 'backward',
        maxEntries: 9,
        maxBytes: 1_500,
      });
      expect([page.entries.map(({ position }) => position), page.more]).toEqual([[3], true]);
    });

    test('history goes both ways, by position and by time, a page at a time', async () => {
      const epoch = freshEpoch();
      // Clocks of the accepting nodes differ: time doesn't quite follow the positions.
      const times = [100, 200, 190, 300, 400];
      await store(
        archive,
        epoch,
        times.map((acceptedAtMs, index) => row('u/1', index * 10, { acceptedAtMs })),
      );
      const page = async (query: Partial<Parameters<Archive['history']>[1]>) => {
        const answer = await archive.history(epoch, {
          stream: 'u/1',
          direction: 'forward',
          maxEntries: 2,
          ...query,
        });
        return [answer.entries.map(({ position }) => position), answer.more];
      };
      expect(await page({})).toEqual([[0, 10], true]);
      expect(await page({ afterPosition: 10 })).toEqual([[20, 30], true]);
      expect(await page({ afterPosition: 30 })).toEqual([[40], false]);
      expect(await page({ direction: 'backward' })).toEqual([[40, 30], true]);
      expect(await page({ direction: 'backward', beforePosition: 30 })).toEqual([[20, 10], true]);
      expect(await page({ direction: 'backward', beforePosition: 10 })).toEqual([[0], false]);
      expect(await page({ afterPosition: 0, beforePosition: 30 })).toEqual([[10, 20], false]);
      expect(await page({ fromMs: 190, toMs: 300, maxEntries: 9 })).toEqual([[10, 20], false]);
      expect(await page({ fromMs: 191 })).toEqual([[10, 30], true]);
      expect(await page({ direction: 'backward', toMs: 400, beforePosition: 30 })).toEqual([[20, 10], true]);
      expect(await page({ fromMs: 401 })).toEqual([[], false]);
    });

    test('the floor rises by count; what is below stays in the history until that lets it go', async () => {
      const epoch = freshEpoch();
      await store(
        archive,
        epoch,
        [1, 2, 3, 4, 5].map((position) => row('u/1', position)),
      );
      expect(await retainAll(archive, keeping({ maxEntries: 2 }))).toBe(0);
      expect(await read(epoch, 'u/1', -1, 9)).toEqual({ positions: [4, 5], floor: 3, more: false });
      expect(await read(epoch, 'u/1', 4, 9)).toEqual({ positions: [5], floor: 3, more: false });
      expect(await historyOf(archive, epoch, 'u/1')).toEqual([1, 2, 3, 4, 5]);
      expect(await retainAll(archive, keeping({ maxEntries: 2 }, { maxEntries: 4 }))).toBe(1);
      expect(await historyOf(archive, epoch, 'u/1')).toEqual([2, 3, 4, 5]);
      expect(await floorOf(archive, epoch, 'u/1')).toBe(3);
    });

    test('the floor rises by age, in order, and remains when nothing is left', async () => {
      const epoch = freshEpoch();
      const times = [100, 200, 190, 300];
      await store(
        archive,
        epoch,
        times.map((acceptedAtMs, index) => row('u/1', index, { acceptedAtMs })),
      );
      await retainAll(archive, keeping({ sinceMs: 200 }));
      expect(await floorOf(archive, epoch, 'u/1')).toBe(0);
      await retainAll(archive, keeping({ sinceMs: 201 }));
      expect(await floorOf(archive, epoch, 'u/1')).toBe(2);
      expect(await retainAll(archive, keeping({ sinceMs: 301 }, { sinceMs: 301 }))).toBe(4);
      expect(await read(epoch, 'u/1', -1, 9)).toEqual({ positions: [], floor: 3, more: false });
      expect(await historyOf(archive, epoch, 'u/1')).toEqual([]);
      await store(archive, epoch, [row('u/1', 9, { acceptedAtMs: 400 })]);
      expect(await read(epoch, 'u/1', -1, 9)).toEqual({ positions: [9], floor: 3, more: false });
    });

    test('nothing above the floor goes, whatever the history keeps', async () => {
      const epoch = freshEpoch();
      await store(
        archive,
        epoch,
        [1, 2, 3].map((position) => row('u/1', position)),
      );
      expect(await retainAll(archive, keeping({ maxEntries: 2 }, { maxEntries: 0 }))).toBe(1);
      expect(await read(epoch, 'u/1', -1, 9)).toEqual({ positions: [2, 3], floor: 1, more: false });
    });

    test('retention of several nodes at once and of many entries takes each once', async () => {
      const epoch = freshEpoch();
      const rows = Array.from({ length: 2_600 }, (_, index) => row(`u/${index % 2}`, index));
      await store(archive, epoch, rows);
      const retention = keeping({ maxEntries: 10 }, { maxEntries: 20 });
      const gone = await Promise.all([1, 2, 3].map(() => retainAll(archive, retention)));
      expect(gone.reduce((sum, one) => sum + one, 0)).toBe(2_560);
      expect(await historyOf(archive, epoch, 'u/1')).toHaveLength(20);
      expect(await readAll(archive, epoch, 'u/0')).toHaveLength(10);
    });

    test('a large body of many streams is kept once, and goes with the last of its entries', async () => {
      const epoch = freshEpoch();
      const body = Buffer.alloc(100_000, 'halley');
      const before = await harness.storedBytes();
      const bodies = await harness.sharedBodies();
      const streams = Array.from({ length: 1_000 }, (_, index) => `u/${index}`);
      await store(archive, epoch, [
        ...streams.map((stream) => row(stream, 7, { body, acceptedAtMs: 50 })),
        row('u/3', 8, { acceptedAtMs: 60 }),
      ]);
      expect((await harness.storedBytes()) - before).toBeLessThan(8_000_000);
      expect((await harness.sharedBodies()) - bodies).toBe(1);
      expect((await readAll(archive, epoch, 'u/999'))[0]?.body).toEqual(new Uint8Array(body));
      expect((await readAll(archive, epoch, 'u/3')).map((entry) => entry.body.byteLength)).toEqual([
        100_000, 6,
      ]);
      // By count u/3 loses it first: the others still have it.
      await retainAll(archive, keeping({ maxEntries: 1 }, { maxEntries: 1 }));
      expect(await historyOf(archive, epoch, 'u/3')).toEqual([8]);
      expect((await readAll(archive, epoch, 'u/4'))[0]?.body).toEqual(new Uint8Array(body));
      expect((await harness.sharedBodies()) - bodies).toBe(1);
      expect(await retainAll(archive, keeping({ sinceMs: 55 }, { sinceMs: 55 }))).toBe(999);
      expect((await harness.sharedBodies()) - bodies).toBe(0);
      expect(await historyOf(archive, epoch, 'u/3')).toEqual([8]);
    });

    optionsContract(() => harness);
    shardsContract(() => harness);
    archiveModelTest(() => archive);
  });
}
