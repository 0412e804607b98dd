import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import { HalleyError } from '@halley/protocol/error';
import { shardOf } from '@halley/store/shard';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { EPOCH, type FilledStores, filledStores, SHARDS } from '../testing/filled-stores.js';
import { MAX_UNREAD, ReadMarks } from './read-marks.js';

const mid = '1' as UserId;
const stream = 'r/chat://1';
const shard = shardOf(stream, SHARDS);
const own = { mid, key: 'web' as ConnectionKey, clientId: 'c', toMid: '0' as UserId };
const other = { ...own, mid: '2' as UserId };
let stores: FilledStores;
let epoch: string;
let nowMs: number;
let marks: ReadMarks;

beforeEach(async () => {
  stores = await filledStores();
  epoch = EPOCH;
  nowMs = 5_000;
  marks = new ReadMarks({
    ...stores,
    shards: SHARDS,
    epoch: () => epoch,
    clock: { now: () => nowMs, monotonicMs: () => 0 },
  });
});
afterEach(() => stores.stop());

const read = async (position: number, of = EPOCH) =>
  (await marks.advance(mid, [{ stream, epoch: of, position }])).now[0];

describe('how far a user has read', () => {
  test('grows, and is answered with what others sent above it, archived and hot', async () => {
    await stores.append(stream, [10, 20], 20, { sender: other });
    await stores.append(stream, [30], 30, { sender: own });
    await stores.append(stream, [40, 50], 50);
    await stores.archiveTo(shard, 25);
    expect(await read(10)).toEqual({ stream, epoch: EPOCH, position: 10, unread: 3, mid: '0', atMs: 5_000 });
    nowMs = 6_000;
    expect(await read(5)).toMatchObject({ position: 10, unread: 3, atMs: 5_000 });
    expect(await read(20)).toMatchObject({ position: 20, unread: 2, atMs: 6_000 });
    await stores.archiveTo(shard, 50);
    expect(await read(40)).toMatchObject({ position: 40, unread: 1 });
    expect((await marks.of(mid, [stream, 'u/1'])).get(stream)).toMatchObject({ position: 40, unread: 1 });
  });

  test('does not count what has expired', async () => {
    await stores.append(stream, [10], 10, { expireAtMs: 5_000 });
    await stores.append(stream, [20], 20, { expireAtMs: 5_001 });
    expect(await read(0)).toMatchObject({ unread: 1 });
    await stores.archiveTo(shard, 15);
    expect(await read(1)).toMatchObject({ unread: 1 });
  });

  test('is unread up to a thousand', async () => {
    const many = Array.from({ length: MAX_UNREAD + 200 }, (_, index) => index);
    await stores.append(stream, many, 5_000);
    expect(await read(50)).toMatchObject({ unread: MAX_UNREAD });
    await stores.archiveTo(shard, 600);
    expect(await read(100)).toMatchObject({ unread: MAX_UNREAD });
    expect(await read(201)).toMatchObject({ unread: MAX_UNREAD - 2 });
  });

  test('is never beyond the end of the stream, while that is known', async () => {
    await stores.append(stream, [10], 12);
    expect(await read(2 ** 52)).toMatchObject({ position: 12, unread: 0 });
    stores.streams.state = async () => undefined;
    expect(await read(30)).toMatchObject({ position: 30 });
  });

  test('says nothing in another epoch, and a position of another epoch moves nothing', async () => {
    await stores.append(stream, [10], 12);
    expect(await read(11)).toMatchObject({ position: 11 });
    expect(await marks.advance(mid, [{ stream, epoch: 'older', position: 12 }])).toMatchObject({
      now: [{ epoch: EPOCH, position: 11 }],
      moved: [],
    });
    epoch = 'newer';
    expect((await marks.of(mid, [stream])).size).toBe(0);
    expect(await read(12)).toMatchObject({ epoch: 'newer', position: -1 });
  });

  test('is news where it moved alone, and one answer for each stream', async () => {
    await stores.append(stream, [10, 11], 12);
    await read(10);
    await stores.append('u/1', [3], 3);
    const { now, moved } = await marks.advance(mid, [
      { stream, epoch: EPOCH, position: 10 },
      { stream: 'r/chat://2', epoch: EPOCH, position: -1 },
      { stream: 'u/1', epoch: EPOCH, position: 0 },
    ]);
    expect(now.map((one) => [one.stream, one.position])).toEqual([
      [stream, 10],
      ['r/chat://2', -1],
      ['u/1', 0],
    ]);
    expect(moved.map((one) => one.stream)).toEqual(['u/1']);
    expect((await stores.reads.get(mid, ['r/chat://2'])).size).toBe(0);
    const twice = [11, 10].map((position) => ({ stream, epoch: EPOCH, position }));
    expect((await marks.advance(mid, twice)).now).toMatchObject([{ position: 11 }]);
  });

  test('is nothing of anonymous users, and soon nothing while the store is away or very many ask', async () => {
    await stores.append(stream, [10], 12);
    await read(10);
    expect((await marks.of('0' as UserId, [stream])).size).toBe(0);
    expect((await marks.soon(mid, [stream])).size).toBe(1);
    const many = await Promise.all(Array.from({ length: 40 }, () => marks.soon(mid, [stream])));
    expect(many.filter(({ size }) => size === 1)).toHaveLength(32);
    expect((await marks.soon(mid, [stream])).size).toBe(1);
    stores.archive.healthy = () => false;
    expect((await marks.soon(mid, [stream])).size).toBe(0);
    stores.archive.healthy = () => true;
    stores.reads.get = () => Promise.reject(new HalleyError('store_unavailable'));
    expect((await marks.soon(mid, [stream])).size).toBe(0);
  });
});
