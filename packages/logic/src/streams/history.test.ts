import { HalleyError } from '@halley/protocol/error';
import { shardOf } from '@halley/store/shard';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { EPOCH, type FilledStores, filledStores, SHARDS } from '../testing/filled-stores.js';
import { type HistoryAsk, HistoryReader } from './history.js';

const stream = 'u/1';
const shard = shardOf(stream, SHARDS);
const POSITIONS = Array.from({ length: 12 }, (_, index) => 2 * index);
let stores: FilledStores;
let history: HistoryReader;

type Direction = HistoryAsk['direction'];
const DIRECTIONS: readonly Direction[] = ['backward', 'forward'];

const read = async (direction: Direction, fields: Partial<HistoryAsk> = {}) => {
  const page = await history.read({ stream, direction, maxEntries: 100, ...fields });
  expect(page.epoch).toBe(EPOCH);
  return { positions: page.entries.map(({ position }) => position), more: page.more };
};
/** All pages, each begun where the one before ended. */
const readAll = async (direction: Direction, fields: Partial<HistoryAsk>) => {
  const all: number[] = [];
  let bounds: Partial<HistoryAsk> = fields;
  for (;;) {
    const { positions, more } = await read(direction, bounds);
    all.push(...positions);
    if (!more) return all;
    const last = positions.at(-1);
    if (last === undefined) throw new Error('a page without entries says that there are more');
    bounds = { ...fields, [direction === 'forward' ? 'afterPosition' : 'beforePosition']: last };
  }
};
const inOrder = (positions: readonly number[], direction: Direction) =>
  direction === 'forward' ? [...positions] : positions.toReversed();

beforeEach(async () => {
  stores = await filledStores();
  const { streams, archive } = stores;
  history = new HistoryReader({ streams, archive, shards: SHARDS, epoch: () => EPOCH });
});
afterEach(() => stores.stop());

describe.each(DIRECTIONS)('%s', (direction) => {
  describe.each([-1, 5, 10, 22])('with what is archived up to %i, and the rest hot', (archived) => {
    beforeEach(async () => {
      await stores.append(stream, POSITIONS, 23);
      if (archived >= 0) await stores.archiveTo(shard, archived);
    });

    test('all is answered, in order, in pages of any size', async () => {
      const all = inOrder(POSITIONS, direction);
      expect(await read(direction)).toEqual({ positions: all, more: false });
      for (const maxEntries of [1, 2, 3, 5, 11, 12, 13])
        expect(await readAll(direction, { maxEntries })).toEqual(all);
      expect(await read(direction, { maxEntries: 12 })).toMatchObject({ more: false });
      expect(await read(direction, { maxEntries: 11 })).toMatchObject({ more: true });
    });

    test('bounds of positions are exclusive', async () => {
      for (let after = -1; after < 24; after += 1) {
        for (let before = after + 1; before < 26; before += 3) {
          const within = POSITIONS.filter((position) => position > after && position < before);
          const bounds = {
            ...(after >= 0 && { afterPosition: after }),
            beforePosition: before,
            maxEntries: 4,
          };
          expect(await readAll(direction, bounds)).toEqual(inOrder(within, direction));
        }
      }
    });

    test('times are from one on, and before another', async () => {
      for (const [fromMs, toMs] of [
        [1_004, 1_016],
        [1_005, 1_017],
        [1_000, 1_001],
        [1_018, 5_000],
        [3_000, 5_000],
      ] as const) {
        const within = POSITIONS.filter((position) => position + 1_000 >= fromMs && position + 1_000 < toMs);
        expect(await readAll(direction, { fromMs, toMs, maxEntries: 3 })).toEqual(inOrder(within, direction));
      }
      expect(await readAll(direction, { fromMs: 1_012, maxEntries: 2 })).toHaveLength(6);
      expect(await readAll(direction, { toMs: 1_012, maxEntries: 2 })).toHaveLength(6);
    });
  });

  test('large bodies make pages shorter, never empty', async () => {
    await stores.append(stream, [0, 1, 2, 3, 4, 5], 5, { body: Buffer.alloc(900_000) });
    await stores.archiveTo(shard, 2);
    expect((await read(direction)).positions).toHaveLength(2);
    expect(await readAll(direction, {})).toEqual(inOrder([0, 1, 2, 3, 4, 5], direction));
  });

  test('what is trimmed between two steps, or before the archive is asked, is answered once', async () => {
    const body = Buffer.alloc(400_000);
    const positions = Array.from({ length: 20 }, (_, index) => index);
    await stores.append(stream, positions, 19, { body });
    const hot = stores.streams.read.bind(stores.streams);
    let trimmed = -1;
    stores.streams.read = async (...query) => {
      const held = await hot(...query);
      trimmed += 4;
      await stores.archiveTo(shard, Math.min(trimmed, 19));
      return held;
    };
    expect(await readAll(direction, {})).toEqual(inOrder(positions, direction));
  });

  test('messages that history keeps are there, though resume has left them behind', async () => {
    await stores.append(stream, POSITIONS, 23);
    await stores.archiveTo(shard, 23);
    await stores.archive.retain({
      resume: { sinceMs: 0, maxEntries: 1 },
      history: { sinceMs: 0, maxEntries: 6 },
    });
    expect((await read(direction)).positions).toEqual(inOrder(POSITIONS.slice(-6), direction));
  });

  test('of a shard that the hot store has lost, what is archived is answered', async () => {
    await stores.append(stream, POSITIONS, 23);
    await stores.archiveTo(shard, 10);
    stores.streams.read = async (_epoch, queries) => queries.map(() => undefined);
    expect((await read(direction)).positions).toEqual(inOrder([0, 2, 4, 6, 8, 10], direction));
  });

  test('an unknown stream has no history', async () => {
    expect(await read(direction)).toEqual({ positions: [], more: false });
  });
});

test('the newest that are not archived yet need no archive', async () => {
  await stores.append(stream, POSITIONS, 23);
  await stores.archiveTo(shard, 10);
  stores.archive.history = () => Promise.reject(new HalleyError('store_unavailable'));
  expect(await read('backward', { maxEntries: 3 })).toEqual({ positions: [22, 20, 18], more: true });
  await expect(read('backward', { maxEntries: 10 })).rejects.toMatchObject({ code: 'store_unavailable' });
});
