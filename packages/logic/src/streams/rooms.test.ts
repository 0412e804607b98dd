import type { RoomStart__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/RoomStart';
import type { NodeId, RoomId } from '@halley/protocol/ids';
import { HalleyError } from '@halley/protocol/error';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { systemClock } from '@halley/service/clock';
import { shardOf, streamOf } from '@halley/store/shard';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { Durability } from '../push/durability.js';
import { EPOCH, type FilledStores, filledStores, SHARDS } from '../testing/filled-stores.js';
import { Cursors } from './cursor.js';
import { RoomStreams } from './rooms.js';

const room = 'chat://1' as RoomId;
const stream = streamOf.room(room);
const shard = shardOf(stream, SHARDS);
const comet = { node: 'c1' as NodeId, incarnation: 'i1' };

let stores: FilledStores;
let routes: EmbeddedRoutes;
let rooms: RoomStreams;

const roomsWith = (durableAll: boolean): RoomStreams => {
  const { streams, archive } = stores;
  const cursors = new Cursors({
    streams,
    archive,
    shards: SHARDS,
    epoch: () => EPOCH,
    acknowledgedTtlMs: 1,
    clock: systemClock,
  });
  const durability = new Durability({ durableRooms: ['chat://*'], durableAll });
  return new RoomStreams({ shards: SHARDS, routes, cursors, durability });
};
const start = (fields: Partial<RoomStart__Output> = {}): RoomStart__Output => ({
  room_id: room,
  cursor: null,
  start: 'START_UNSPECIFIED',
  ...fields,
});
const open = async (...starts: RoomStart__Output[]) => (await rooms.open(starts)).rooms;

beforeEach(async () => {
  stores = await filledStores();
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  rooms = roomsWith(false);
});
afterEach(() => stores.stop());

describe('a room', () => {
  test('is entered, and said to be durable where a pattern names it', async () => {
    expect(await rooms.enter(room, comet)).toBe(true);
    expect(await rooms.enter('live://1' as RoomId, comet)).toBe(false);
    expect((await routes.find({ rooms: [room, 'live://1' as RoomId] })).rooms.size).toBe(2);
  });
});

describe('a connection begins', () => {
  test('at the end of what was appended when it asked, after its comet had entered the room', async () => {
    await stores.append(stream, [3, 7], 9);
    expect(await open(start(), start({ start: 'START_NEWEST' }))).toEqual([
      { cursor: { stream, epoch: EPOCH, position: 9 }, at_end: true },
      { cursor: { stream, epoch: EPOCH, position: 9 }, at_end: true },
    ]);
  });

  test('at its cursor, also of another epoch', async () => {
    const cursor = { stream, epoch: 'before', position: '4' };
    expect(await open(start({ cursor }))).toEqual([{ cursor }]);
  });

  test('in front of the oldest that is kept', async () => {
    expect(await open(start({ start: 'START_OLDEST' }))).toMatchObject([{ cursor: { position: -1 } }]);
    await stores.append(stream, [3, 7, 8], 9);
    await stores.archiveTo(shard, 9);
    await stores.keep(1);
    expect(await open(start({ start: 'START_OLDEST' }))).toEqual([
      { cursor: { stream, epoch: EPOCH, position: 7 } },
    ]);
  });

  test('with one look for all rooms of a shard', async () => {
    const names = Array.from({ length: 60 }, (_, index) => `chat://${index}`);
    let looks = 0;
    const state = stores.streams.state.bind(stores.streams);
    stores.streams.state = async (...args) => {
      looks += 1;
      return state(...args);
    };
    await open(...names.map((room_id) => start({ room_id })));
    expect(looks).toBe(new Set(names.map((name) => shardOf(`r/${name}`, SHARDS))).size);
  });

  test('nowhere in a room that is not durable, and not while the store is away', async () => {
    expect(await open(start({ room_id: 'live://1' }))).toEqual([{}]);
    stores.streams.state = () => Promise.reject(new HalleyError('store_unavailable'));
    await expect(open(start())).rejects.toMatchObject({ code: 'store_unavailable' });
  });

  test("at the end of everyone's stream, where that is kept", async () => {
    await stores.append('all', [3], 5);
    expect(await rooms.everyone()).toEqual({});
    rooms = roomsWith(true);
    expect(await rooms.everyone()).toEqual({ everyone: { stream: 'all', epoch: EPOCH, position: 5 } });
  });
});
