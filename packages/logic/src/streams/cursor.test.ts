import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { shardOf } from '@halley/store/shard';
import { BEFORE_ALL, type CursorWrite } from '@halley/store/streams/streams';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { EPOCH, type FilledStores, filledStores, SHARDS } from '../testing/filled-stores.js';
import { CURSOR_TTL_MS, Cursors, type Device } from './cursor.js';

const stream = 'u/1';
const RESUME_MS = 7 * 24 * 3_600_000;
let stores: FilledStores;
let cursors: Cursors;
let epoch = EPOCH;

const device = (owner: string, fields: Partial<Device> = {}): Device => ({
  mid: '1' as UserId,
  key: 'phone' as ConnectionKey,
  owner,
  keyGiven: true,
  ...fields,
});
const at = (position: number, owner: string, of = EPOCH) =>
  cursors.save([{ stream, key: 'phone' as ConnectionKey, owner, epoch: of, position }]);

beforeEach(async () => {
  stores = await filledStores();
  epoch = EPOCH;
  const { streams, archive } = stores;
  cursors = new Cursors({
    streams,
    archive,
    shards: SHARDS,
    epoch: () => epoch,
    acknowledgedTtlMs: RESUME_MS,
    clock: systemClock,
  });
});
afterEach(() => stores.stop());

describe('a device begins', () => {
  test('at the end when its key was never here', async () => {
    await stores.append(stream, [0, 1, 2], 40);
    expect(await cursors.open(device('1'))).toEqual({
      stream,
      epoch: EPOCH,
      position: 40,
      kept: true,
      atEnd: true,
    });
  });

  test('behind its cursor when its key is known', async () => {
    await stores.append(stream, [0, 1, 2], 40);
    await cursors.open(device('1'));
    await stores.append(stream, [41, 42], 50);
    await at(41, '1');
    expect(await cursors.open(device('2'))).toEqual({
      stream,
      epoch: EPOCH,
      position: 41,
      kept: true,
      atEnd: false,
    });
  });

  test('where it first began when it never told how far it came: it may repeat, never skip', async () => {
    await stores.append(stream, [0], 40);
    await cursors.open(device('1'));
    await stores.append(stream, [41], 41);
    expect(await cursors.open(device('2'))).toMatchObject({ position: 40, atEnd: false });
  });

  test('at the end when its key was generated, whatever is known of it, and keeps no cursor', async () => {
    await stores.append(stream, [0], 40);
    await at(0, '1');
    const generated = device('2', { keyGiven: false });
    expect(await cursors.open(generated)).toMatchObject({ position: 40, kept: false, atEnd: true });
    const other = device('3', { keyGiven: false, key: 'generated' as ConnectionKey });
    await cursors.open(other);
    expect([...(await stores.streams.cursors(stream)).keys()]).toEqual(['phone']);
  });

  test('at the cursor of its own user only', async () => {
    await stores.append('u/2', [0], 9);
    await at(3, '1');
    expect(await cursors.open(device('2', { mid: '2' as UserId }))).toMatchObject({
      stream: 'u/2',
      position: 9,
      atEnd: true,
    });
  });

  test('behind its cursor of an earlier epoch, which its comet then declares lost', async () => {
    await at(700, '1', 'older');
    await stores.append(stream, [0], 3);
    expect(await cursors.open(device('2'))).toMatchObject({ epoch: 'older', position: 700, atEnd: false });
  });

  test('at the watermark while the hot store has lost the shard, and at the beginning of a new one', async () => {
    expect(await cursors.open(device('1', { keyGiven: false }))).toMatchObject({ position: BEFORE_ALL });
    await stores.append(stream, [0, 1, 2], 2);
    await stores.archiveTo(shardOf(stream, SHARDS), 1);
    stores.streams.state = async () => undefined;
    expect(await cursors.open(device('1', { keyGiven: false }))).toMatchObject({ position: 1 });
  });
});

describe('while cursors of the last ten minutes may be lost, a device begins', () => {
  const minutesAgo = (minutes: number): number => Date.now() - minutes * 60_000;
  const shard = shardOf(stream, SHARDS);

  /** What a store knows that was emptied while everything up to 20 was archived, and that was filled up to 30 since. */
  async function emptied(acceptedAtMs: (position: number) => number): Promise<void> {
    await stores.append(stream, [10, 15, 20], 20, { acceptedAtMs });
    await stores.storeTo(shard, 20);
    await stores.streams.restore(shard, 'none', BEFORE_ALL);
    await stores.streams.restore(shard, EPOCH, 20);
    await stores.append(stream, [30], 30);
  }

  test('in front of the messages of these minutes', async () => {
    await emptied((position) => minutesAgo(position === 10 ? 11 : 5));
    expect(await cursors.open(device('1'))).toMatchObject({ position: 14, atEnd: false });
  });

  test('where the store was filled from when nothing else came within them', async () => {
    await emptied(() => minutesAgo(11));
    expect(await cursors.open(device('1'))).toMatchObject({ position: 20, atEnd: false });
  });

  test('at its cursor when that was saved since', async () => {
    await emptied(() => minutesAgo(5));
    await at(30, '1');
    expect(await cursors.open(device('2'))).toMatchObject({ position: 30, atEnd: false });
  });

  test('at the end when its key was generated, or the loss is longer ago', async () => {
    await emptied(() => minutesAgo(5));
    expect(await cursors.open(device('1', { keyGiven: false }))).toMatchObject({ position: 30, atEnd: true });
    stores.streams.restoredAtMs = async () => minutesAgo(11);
    expect(await cursors.open(device('2'))).toMatchObject({ position: 30, atEnd: true });
  });
});

describe('many devices at once', () => {
  const minutesAgo = (minutes: number): number => Date.now() - minutes * 60_000;
  const others = ['2', '3', '4', '5', '6'].map((mid) => mid as UserId);

  test('begin each where it would begin by itself, and their cursors are their own', async () => {
    await stores.append(stream, [0, 1, 2], 40);
    await at(2, '1');
    const devices = [
      device('2'),
      device('2', { key: 'web' as ConnectionKey }),
      device('2', { key: 'generated' as ConnectionKey, keyGiven: false }),
      device('2', { key: 'tv' as ConnectionKey, version2: { start: 'newest' } }),
      ...others.map((mid) => device('2', { mid })),
    ];
    const alone = [];
    for (const one of devices) alone.push(await cursors.open(one));
    expect(await cursors.openMany(devices.map((one) => ({ ...one, owner: '3' })))).toEqual(
      // Who is known the second time may have something to read.
      alone.map((start, i) => (start.kept && !devices[i]?.version2 ? { ...start, atEnd: false } : start)),
    );
    await at(40, '2');
    expect((await stores.streams.cursors(stream)).get('phone' as ConnectionKey)?.position).toBe(2);
  });

  test('begin where the archive says while the hot store has lost their shard, or cursors', async () => {
    await stores.append(stream, [10, 15, 20], 20, {
      acceptedAtMs: (position) => minutesAgo(position === 10 ? 11 : 5),
    });
    const shard = shardOf(stream, SHARDS);
    await stores.storeTo(shard, 20);
    await stores.streams.restore(shard, 'none', BEFORE_ALL);
    const phone = { stream, kept: true, epoch: EPOCH };
    await stores.streams.restore(shard, EPOCH, 20);
    await stores.append(stream, [30], 30);
    expect(await cursors.openMany([device('1'), device('1', { keyGiven: false })])).toEqual([
      { ...phone, position: 14, atEnd: false },
      { ...phone, kept: false, position: 30, atEnd: true },
    ]);
  });

  test('fail each for itself', async () => {
    const resume = stores.streams.resume.bind(stores.streams);
    stores.streams.resume = async (of, ttlMs, devices) => {
      const [, ...left] = await resume(of, ttlMs, devices);
      return [new HalleyError('store_unavailable'), ...left];
    };
    await stores.append(stream, [0], 3);
    const [failed, begun] = await cursors.openMany([
      device('1'),
      device('1', { key: 'web' as ConnectionKey }),
    ]);
    expect(failed).toMatchObject({ code: 'store_unavailable' });
    expect(begun).toMatchObject({ position: 3 });
  });
});

describe('a device with version 2 begins', () => {
  const opened = (version2: Device['version2'], fields: Partial<Device> = {}) =>
    cursors.open(device('9', { version2, ...fields }));
  const save = (key: string, position: number, of = EPOCH) =>
    cursors.save([{ stream, key: key as ConnectionKey, owner: '1', epoch: of, position }]);
  const floorAt = async (position: number) => {
    await stores.append(stream, [0, position, position + 1], position + 10);
    await stores.archiveTo(shardOf(stream, SHARDS), position + 5);
    const kept = { sinceMs: 0, maxEntries: 1 };
    await stores.archive.retain({ resume: kept, history: { ...kept, maxEntries: 9 } });
  };

  test('where it says, whatever is saved and of whatever epoch', async () => {
    await stores.append(stream, [0, 1, 2], 40);
    await save('phone', 30);
    const cursor = { epoch: EPOCH, position: 2 };
    expect(await opened({ cursor, start: 'newest' })).toEqual({
      stream,
      ...cursor,
      kept: true,
      atEnd: false,
    });
    const older = { epoch: 'older', position: 900 };
    expect(await opened({ cursor: older })).toMatchObject({ ...older, atEnd: false });
  });

  test('at the end when its cursor is there already, so that nothing is read', async () => {
    await stores.append(stream, [0, 1, 2], 40);
    for (const [position, atEnd] of [[39, false] as const, [40, true] as const, [41, true] as const]) {
      const cursor = { epoch: EPOCH, position };
      expect(await opened({ cursor })).toMatchObject({ position, atEnd });
    }
  });

  test('at the newest or the oldest that is kept, when it asks for it', async () => {
    await floorAt(20);
    await save('phone', 25);
    expect(await opened({ start: 'newest' })).toMatchObject({ epoch: EPOCH, position: 30, atEnd: true });
    expect(await opened({ start: 'oldest' })).toMatchObject({ epoch: EPOCH, position: 20, atEnd: false });
  });

  test("at its own cursor, else at the largest of its user's devices in this epoch, else at the oldest", async () => {
    await floorAt(20);
    expect(await opened({}, { key: 'first' as ConnectionKey })).toMatchObject({ position: 20, atEnd: false });
    await save('tablet', 26);
    await save('web', 27);
    await save('old', 500, 'older');
    expect(await opened({}, { key: 'new' as ConnectionKey })).toMatchObject({ epoch: EPOCH, position: 27 });
    await save('phone', 22);
    expect(await opened({})).toMatchObject({ position: 22 });
    expect(await opened({}, { key: 'old' as ConnectionKey })).toMatchObject({
      epoch: 'older',
      position: 500,
    });
  });

  test('at the beginning while the archive is away: what is gone is declared when it is read', async () => {
    stores.archive.read = () => Promise.reject(new HalleyError('store_unavailable'));
    expect(await opened({})).toMatchObject({ epoch: EPOCH, position: BEFORE_ALL, atEnd: false });
    stores.archive.read = () => Promise.reject(new HalleyError('internal'));
    await expect(opened({ start: 'oldest' })).rejects.toMatchObject({ code: 'internal' });
  });

  test('and is known again also by a key that it was given, for as long as messages are kept', async () => {
    const saved: CursorWrite[] = [];
    stores.streams.saveCursors = async (writes) => void saved.push(...writes);
    expect(await opened({}, { keyGiven: false })).toMatchObject({ kept: true });
    await cursors.save([
      { stream, key: 'k' as ConnectionKey, owner: '1', epoch: EPOCH, position: 1, acknowledged: true },
      { stream, key: 'k' as ConnectionKey, owner: '1', epoch: EPOCH, position: 2, acknowledged: false },
    ]);
    expect(saved.map(({ ttlMs }) => ttlMs)).toEqual([RESUME_MS, RESUME_MS, CURSOR_TTL_MS]);
  });
});

describe('a cursor', () => {
  test('belongs to the latest owner from the moment it is opened', async () => {
    await stores.append(stream, [0, 1, 2], 40);
    await cursors.open(device('1'));
    await cursors.open(device('2'));
    await at(55, '1');
    expect((await stores.streams.cursors(stream)).get('phone' as ConnectionKey)?.position).toBe(40);
    await at(41, '2');
    expect(await cursors.open(device('3'))).toMatchObject({ position: 41 });
  });

  test('is kept for ten minutes from its last save', async () => {
    const saved: number[] = [];
    stores.streams.saveCursors = async (writes) => void saved.push(...writes.map(({ ttlMs }) => ttlMs));
    await at(1, '1');
    await cursors.save([]);
    expect(saved).toEqual([CURSOR_TTL_MS]);
    expect(CURSOR_TTL_MS).toBe(600_000);
  });
});

test('the newest positions of streams are told, and of unknown ones nothing', async () => {
  await stores.append(stream, [0, 4], 9);
  const newest = await cursors.newest(['u/1', 'u/2']);
  expect([...newest]).toEqual([[stream, 4]]);
});
