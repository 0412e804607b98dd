import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';
import { shardOf } from '@halley/store/shard';
import { BEFORE_ALL } from '@halley/store/streams/streams';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { EPOCH, type FilledStores, filledStores, SHARDS } from '../testing/filled-stores.js';
import { MAX_ANSWER_BYTES, type StreamRead, StreamReader } from './read.js';

const stream = 'u/1';
const shard = shardOf(stream, SHARDS);
let stores: FilledStores;
let epoch = EPOCH;
let reader: StreamReader;

const ask = (after: number, fields: Partial<StreamRead> = {}): StreamRead => ({
  stream,
  epoch: EPOCH,
  after,
  maxEntries: 0,
  maxBytes: 0,
  ...fields,
});
const read = async (after: number, fields: Partial<StreamRead> = {}) => {
  const [page] = await reader.read([ask(after, fields)]);
  if (!page) throw new Error('no page');
  const { entries, ...rest } = page;
  return { positions: entries.map(({ position }) => position), ...rest };
};
/** Reads on from `through` until nothing more is known to be there. */
const readAll = async (fields: Partial<StreamRead> = {}) => {
  const all: number[] = [];
  let page = await read(BEFORE_ALL, fields);
  all.push(...page.positions);
  while (page.more) {
    const { through } = page;
    page = await read(through, fields);
    expect(page.through).toBeGreaterThan(through);
    all.push(...page.positions);
  }
  return all;
};

beforeEach(async () => {
  stores = await filledStores();
  epoch = EPOCH;
  const { streams, archive } = stores;
  reader = new StreamReader({ streams, archive, shards: SHARDS, epoch: () => epoch });
});
afterEach(() => stores.stop());

describe('a page', () => {
  test('comes from the hot part alone above what is trimmed', async () => {
    await stores.append(stream, [0, 1, 2], 5);
    stores.archive.read = () => Promise.reject(new Error('the archive is not needed'));
    expect(await read(BEFORE_ALL)).toEqual({ epoch: EPOCH, positions: [0, 1, 2], through: 5, more: false });
    expect(await read(1)).toMatchObject({ positions: [2], through: 5 });
    expect(await read(2)).toMatchObject({ positions: [], through: 5, more: false });
  });

  test('goes over the seam of archive and hot part', async () => {
    await stores.append(stream, [0, 1, 2, 3, 4, 5], 7);
    await stores.archiveTo(shard, 3);
    expect((await stores.streams.state(shard, EPOCH))?.trimmed).toBe(3);
    expect(await read(BEFORE_ALL)).toMatchObject({ positions: [0, 1, 2, 3, 4, 5], through: 7, more: false });
    expect(await read(1)).toMatchObject({ positions: [2, 3, 4, 5], through: 7 });
    expect(await read(3)).toMatchObject({ positions: [4, 5], through: 7 });
  });

  test('carries what an entry is, from either part', async () => {
    const keys = ['phone' as ConnectionKey];
    await stores.append(stream, [0, 1], 1, { keys, body: Buffer.from('hello'), expireAtMs: 4e12 });
    await stores.archiveTo(shard, 0);
    const [page] = await reader.read([ask(BEFORE_ALL)]);
    for (const entry of page?.entries ?? []) {
      expect(entry).toMatchObject({ operation: 1000, keys, expireAtMs: 4e12, id: `id-${entry.position}` });
      expect(Buffer.from(entry.body).toString()).toBe('hello');
    }
    expect(page?.entries).toHaveLength(2);
  });

  test('of a stream that is trimmed between the two reads has everything', async () => {
    await stores.append(stream, [0, 1, 2, 3, 4], 4);
    await stores.archiveTo(shard, 1);
    const hot = stores.streams.read.bind(stores.streams);
    stores.streams.read = async (...query) => {
      const held = await hot(...query);
      await stores.archiveTo(shard, 4);
      return held;
    };
    expect(await read(BEFORE_ALL)).toMatchObject({ positions: [0, 1, 2, 3, 4], through: 4 });
  });

  test('of several streams answers in their order', async () => {
    await stores.append(stream, [0, 1], 1);
    await stores.append('u/2', [7], 9);
    const pages = await reader.read([ask(BEFORE_ALL, { stream: 'u/2' }), ask(0)]);
    expect(pages.map(({ entries }) => entries.map(({ position }) => position))).toEqual([[7], [1]]);
    expect(await reader.read([])).toEqual([]);
  });

  test('never ends below where it was read from: a store that lost its last writes is behind its readers', async () => {
    await stores.append(stream, [0], 3);
    expect(await read(50)).toMatchObject({ positions: [], through: 50, more: false });
    await stores.archiveTo(shard, 3);
    expect(await read(50)).toMatchObject({ positions: [], through: 50, more: false });
  });
});

describe('limits', () => {
  const positions = Array.from({ length: 10 }, (_, index) => index);

  test.each([-1, 3, 9])('of entries hold over the seam, archived up to %i', async (archived) => {
    await stores.append(stream, positions, 12);
    await stores.archiveTo(shard, archived);
    expect(await read(BEFORE_ALL, { maxEntries: 6 })).toMatchObject({
      positions: [0, 1, 2, 3, 4, 5],
      through: 5,
      more: true,
    });
    expect(await read(5, { maxEntries: 6 })).toMatchObject({
      positions: [6, 7, 8, 9],
      through: 12,
      more: false,
    });
    for (const maxEntries of [1, 2, 3, 4]) expect(await readAll({ maxEntries })).toEqual(positions);
  });

  test.each([-1, 3, 9])(
    'of bytes hold over the seam, but answer one entry at least (%i)',
    async (archived) => {
      await stores.append(stream, positions, 12, { body: Buffer.alloc(10_000) });
      await stores.archiveTo(shard, archived);
      expect(await read(BEFORE_ALL, { maxBytes: 55_000 })).toMatchObject({
        positions: [0, 1, 2, 3, 4],
        through: 4,
        more: true,
      });
      expect(await read(BEFORE_ALL, { maxBytes: 1 })).toMatchObject({ positions: [0], more: true });
      expect(await readAll({ maxBytes: 15_000 })).toEqual(positions);
    },
  );

  test('of an answer put pages off, which begin where they would have', async () => {
    const names = Array.from({ length: 12 }, (_, index) => `u/${index}`);
    const body = Buffer.alloc(1_000_000);
    for (const [index, name] of names.entries()) await stores.append(name, [5 + index], 5 + index, { body });
    let left = names.map((name) => ask(2, { stream: name }));
    for (let calls = 0; left.length > 0; calls += 1) {
      const pages = await reader.read(left);
      const bytes = pages.flatMap(({ entries }) => entries).reduce((sum, { body }) => sum + body.length, 0);
      expect(bytes).toBeLessThanOrEqual(MAX_ANSWER_BYTES);
      expect(pages[0]?.entries).toHaveLength(1);
      for (const page of pages) if (page.more) expect(page).toMatchObject({ entries: [], through: 2 });
      left = left.filter((_, index) => pages[index]?.more);
      expect(calls).toBeLessThan(4);
    }
  });

  test('of an answer keep the gap of a page that is put off', async () => {
    await stores.append('u/2', [0, 1, 2], 2, { body: Buffer.alloc(2_000_000) });
    await stores.append(stream, [0, 1, 2, 3], 3, { body: Buffer.alloc(2_500_000) });
    await stores.archiveTo(shardOf('u/2', SHARDS), 2);
    await stores.archiveTo(shard, 3);
    await stores.keep(1);
    const [, page] = await reader.read([ask(BEFORE_ALL, { stream: 'u/2' }), ask(BEFORE_ALL)]);
    const gap = { after: BEFORE_ALL, through: 2 };
    expect(page).toEqual({ epoch: EPOCH, entries: [], through: 2, more: true, gap });
  });
});

describe('a gap', () => {
  test('is declared up to the floor, and the page goes on there', async () => {
    await stores.append(stream, [0, 1, 2, 3, 4, 5], 6);
    await stores.archiveTo(shard, 4);
    await stores.keep(2);
    expect(await read(0)).toEqual({
      epoch: EPOCH,
      positions: [3, 4, 5],
      through: 6,
      more: false,
      gap: { after: 0, through: 2 },
    });
    expect(await read(2)).toEqual({ epoch: EPOCH, positions: [3, 4, 5], through: 6, more: false });
    expect(await read(0, { maxEntries: 1 })).toMatchObject({
      positions: [3],
      through: 3,
      more: true,
      gap: { after: 0, through: 2 },
    });
  });

  test('covers what retention takes between the two reads, and the page does not end in it', async () => {
    await stores.append(stream, [0, 1, 2, 3, 4, 5], 6);
    await stores.archiveTo(shard, 0);
    const hot = stores.streams.read.bind(stores.streams);
    stores.streams.read = async (...query) => {
      const held = await hot(...query);
      await stores.archiveTo(shard, 5);
      await stores.keep(1);
      return held;
    };
    expect(await read(BEFORE_ALL, { maxEntries: 2 })).toEqual({
      epoch: EPOCH,
      positions: [],
      through: 4,
      more: true,
      gap: { after: BEFORE_ALL, through: 4 },
    });
    expect(await read(4)).toMatchObject({ positions: [5], through: 6, more: false });
  });

  test('is not declared where the hot part still has what retention took', async () => {
    await stores.append(stream, [0, 1, 2], 2);
    await stores.storeTo(shard, 2);
    await stores.keep(1);
    expect(await read(0)).toEqual({ epoch: EPOCH, positions: [1, 2], through: 2, more: false });
  });
});

describe('another epoch', () => {
  test('begins the stream anew at its floor, with a gap', async () => {
    await stores.append(stream, [0, 1, 2, 3], 3);
    await stores.archiveTo(shard, 2);
    const gap = { after: BEFORE_ALL, through: BEFORE_ALL };
    expect(await read(700, { epoch: 'older' })).toEqual({
      epoch: EPOCH,
      positions: [0, 1, 2, 3],
      through: 3,
      more: false,
      gap,
    });
    await stores.keep(1);
    expect(await read(700, { epoch: 'older' })).toMatchObject({
      positions: [2, 3],
      gap: { after: BEFORE_ALL, through: 1 },
    });
  });

  test('of the bus knows nothing of what was before', async () => {
    await stores.append(stream, [0, 1, 2], 2);
    await stores.archiveTo(shard, 1);
    epoch = 'newer';
    expect(await read(1)).toEqual({
      epoch: 'newer',
      positions: [],
      through: BEFORE_ALL,
      more: false,
      gap: { after: BEFORE_ALL, through: BEFORE_ALL },
    });
  });
});

describe('a shard that the hot store has lost', () => {
  test('is read up to the watermark: what is above comes from the bus again', async () => {
    await stores.append(stream, [0, 1, 2, 3], 3);
    await stores.archiveTo(shard, 2);
    stores.streams.read = async (_epoch, queries) => queries.map(() => undefined);
    expect(await read(0)).toEqual({ epoch: EPOCH, positions: [1, 2], through: 2, more: false });
    expect(await read(3)).toMatchObject({ positions: [], through: 3, more: false });
  });

  test('and of which nothing is archived has nothing yet', async () => {
    expect(await read(BEFORE_ALL)).toEqual({ epoch: EPOCH, positions: [], through: BEFORE_ALL, more: false });
  });
});

test('a store that cannot be reached is an error, never a gap', async () => {
  await stores.append(stream, [0, 1], 1);
  await stores.archiveTo(shard, 0);
  const away = () => Promise.reject(new HalleyError('store_unavailable'));
  const { archive } = stores;
  const [whole, watermark] = [archive.read.bind(archive), archive.watermark.bind(archive)];
  archive.read = away;
  await expect(read(BEFORE_ALL)).rejects.toMatchObject({ code: 'store_unavailable' });
  expect(await read(0)).toMatchObject({ positions: [1] });
  archive.read = whole;
  stores.streams.read = away;
  await expect(read(0)).rejects.toMatchObject({ code: 'store_unavailable' });
  stores.streams.read = async () => [undefined];
  archive.watermark = away;
  await expect(read(0)).rejects.toMatchObject({ code: 'store_unavailable' });
  archive.watermark = watermark;
  expect(await read(BEFORE_ALL)).toMatchObject({ positions: [0], through: 0 });
});
