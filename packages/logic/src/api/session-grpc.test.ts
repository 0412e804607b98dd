import { Metadata, status } from '@grpc/grpc-js';
import { call } from '@halley/cluster/grpc/client';
import type { ConnectManyReply__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectManyReply';
import type { ConnectOutcome__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectOutcome';
import type { ConnectionKey } from '@halley/protocol/ids';
import { shardOf } from '@halley/store/shard';
import { BEFORE_ALL } from '@halley/store/streams/streams';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { FakeBus } from '../testing/fake-bus.js';
import { type LogicFixture, startLogic } from '../testing/logic-fixture.js';

const comet = { node: 'comet-1', incarnation: 'i1' };
const until = async (condition: () => boolean) => {
  for (let turn = 0; turn < 400 && !condition(); turn += 1)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(condition()).toBe(true);
};

let bus: FakeBus;
let logic: LogicFixture;
const start = async (...flags: string[]) => {
  logic = await startLogic(bus, flags);
  return logic;
};
beforeEach(() => {
  bus = new FakeBus();
});
afterEach(() => logic.stop());

describe('SessionService', () => {
  const connect = (token: string, at = comet, counter = 1) =>
    call(logic.sessions.Connect.bind(logic.sessions), { comet: at, counter, token: Buffer.from(token) });

  test('Connect writes the route and grants every room to a plain token', async () => {
    await start();
    const reply = await connect('{"mid":1,"key":"k","room_id":"r","platform":"web","accepts":[7]}');
    expect(reply).toMatchObject({
      mid: '1',
      key: 'k',
      room_id: 'r',
      accepts: [7],
      platform: 'web',
      heartbeat_ms: '480000',
      token_expires_at_ms: '0',
      room_grants: [],
      any_room: true,
    });
    const disconnect = (owner: string) =>
      call(logic.sessions.Disconnect.bind(logic.sessions), { comet, mid: '1', key: 'k', owner });
    expect(await disconnect('0')).toEqual({ has: false });
    expect(await disconnect(reply.owner)).toEqual({ has: true });
  });

  test('ConnectMany lets each in for itself', async () => {
    await start();
    const connects = ['{"mid":1,"key":"k"}', 'no token', '{"mid":2,"key":"l"}'].map((token, index) => ({
      comet,
      counter: index,
      token: Buffer.from(token),
    }));
    const outcomes: ConnectOutcome__Output[] = [];
    for await (const reply of logic.sessions.ConnectMany({ connects }, { deadline: Date.now() + 5_000 }))
      outcomes.push(...(reply as ConnectManyReply__Output).outcomes);
    outcomes.sort((one, other) => one.index - other.index);
    expect(outcomes).toMatchObject([
      { index: 0, connected: { mid: '1', key: 'k' } },
      { index: 1, error: { code: 'bad_token', retry_after_ms: '0' } },
      { index: 2, connected: { mid: '2', key: 'l' } },
    ]);
    const many = Array.from({ length: 257 }, () => ({ comet, token: Buffer.from('{}') }));
    const refused = logic.sessions.ConnectMany({ connects: many });
    await expect(refused.toArray()).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  test('DisconnectMany removes the routes of those that are still theirs', async () => {
    await start();
    const one = await connect('{"mid":1,"key":"k"}');
    const two = await connect('{"key":"l"}');
    const sessions = [
      { mid: '1', key: 'k', owner: '0' },
      { mid: '0', key: 'l', owner: two.owner },
      { mid: '1', key: 'k', owner: one.owner },
    ];
    const disconnectMany = logic.sessions.DisconnectMany.bind(logic.sessions);
    expect(await call(disconnectMany, { comet, sessions })).toEqual({ has: [false, true, true] });
    const many = Array.from({ length: 1_001 }, () => sessions[0]!);
    await expect(call(disconnectMany, { comet, sessions: many })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  });

  test('Connect tells where the device goes on, Renew and Disconnect keep it, and Read answers what is there', async () => {
    await start();
    const { sessions, stores } = logic;
    const shard = shardOf('u/1', bus.partitions());
    await stores.streams.restore(shard, bus.epoch, BEFORE_ALL);
    const until40 = { shard, epoch: bus.epoch, before: BEFORE_ALL, through: 40, pushes: [] };
    await stores.streams.append(until40);
    const cursorAt = (position: number) => ({ stream: 'u/1', epoch: bus.epoch, position });
    const first = await connect('{"mid":1,"key":"k"}');
    const told = { stream: 'u/1', epoch: bus.epoch, position: '40' };
    expect(first).toMatchObject({ stream: told, keeps_cursor: true, at_end: true });
    expect(await connect('{"key":"nobody"}')).toMatchObject({ stream: null, keeps_cursor: false });

    const targets = [{ stream: 'u/1', keys: ['k' as ConnectionKey] }];
    const fields = {
      operation: 7,
      acceptedAtMs: 1,
      expireAtMs: 4_102_444_800_000,
      traceparent: 't',
      caller: 'c',
      digest: 'd',
    };
    const push = (position: number) => ({
      ...fields,
      position,
      id: `${position}`,
      body: Buffer.from('hi'),
      targets,
    });
    const batch = { shard, epoch: bus.epoch, before: 40, through: 60, pushes: [push(50), push(60)] };
    await stores.streams.append(batch);
    const session = { mid: '1', key: 'k', owner: first.owner };
    const renewed = await call(sessions.Renew.bind(sessions), {
      comet,
      sessions: [{ ...session, cursor: cursorAt(50), wants_newest: true }],
    });
    expect(renewed.newest).toEqual(['60']);

    const read = (reads: object[]) => call(sessions.Read.bind(sessions), { reads });
    const ask = { stream: 'u/1', epoch: bus.epoch, after: 40, max_entries: 1, max_bytes: 0 };
    const { pages } = await read([ask, { ...ask, after: 60 }, { ...ask, epoch: 'other', max_entries: 9 }]);
    expect(pages).toMatchObject([
      { epoch: bus.epoch, through: '50', more: true, gap: false },
      { entries: [], through: '60', more: false },
      { through: '60', gap: true, gap_after: '-1', gap_through: '-1' },
    ]);
    expect(pages[0]?.entries).toEqual([
      {
        position: '50',
        id: '50',
        operation: 7,
        body: Buffer.from('hi'),
        keys: ['k'],
        caller: 'c',
        expire_at_ms: '4102444800000',
        traceparent: 't',
        accepted_at_ms: '1',
        sender: null,
      },
    ]);
    await expect(read([ask, { ...ask, stream: '' }])).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'reads[1].stream: is empty',
    });
    await expect(read(Array.from({ length: 257 }, () => ask))).rejects.toMatchObject({
      code: 'invalid_argument',
    });

    const disconnect = { comet, ...session, cursor: cursorAt(60) };
    await call(sessions.Disconnect.bind(sessions), disconnect);
    expect(await connect('{"mid":1,"key":"k"}')).toMatchObject({ stream: { position: '60' }, at_end: false });
    const without = { comet, counter: 9, token: Buffer.from('{"mid":1,"key":"k"}'), without_cursor: true };
    expect(await call(sessions.Connect.bind(sessions), without)).toMatchObject({
      stream: { position: '60' },
      keeps_cursor: false,
      at_end: true,
    });
  });

  test('a takeover closes the connection on the other comet', async () => {
    await start();
    const first = await connect('{"mid":1,"key":"k"}');
    await connect('{"mid":1,"key":"k"}', { node: 'comet-2', incarnation: 'i9' });
    await until(() => logic.kicks.length > 0);
    expect(logic.kicks[0]).toMatchObject({
      comet_incarnation: 'i1',
      targets: [{ mid: '1', key: 'k', owner: first.owner }],
      code: 3503,
    });
  });

  test.each([
    ['comet: is missing', undefined],
    ['comet.node: is empty', { node: '', incarnation: 'x' }],
    ['comet.incarnation: is empty', { node: 'x', incarnation: '' }],
  ])('%s', async (message, at) => {
    await start();
    const request = { token: Buffer.from('{}'), ...(at ? { comet: at } : {}) };
    await expect(call(logic.sessions.Connect.bind(logic.sessions), request)).rejects.toMatchObject({
      code: 'invalid_argument',
      message,
    });
  });

  test('rooms are entered and left, and Renew tells what is superseded and the sums of its rooms', async () => {
    await start();
    const { sessions } = logic;
    await call(sessions.EnterRoom.bind(sessions), { comet, room_id: 'r' });
    expect((await logic.routes.find({ rooms: ['r' as never] })).rooms.size).toBe(1);
    await call(sessions.LeaveRoom.bind(sessions), { comet, room_id: 'r' });
    expect((await logic.routes.find({ rooms: ['r' as never] })).rooms.size).toBe(0);
    await expect(call(sessions.EnterRoom.bind(sessions), { comet, room_id: '' })).rejects.toMatchObject({
      code: 'invalid_argument',
    });

    const old = await connect('{"mid":1,"key":"k"}');
    await connect('{"mid":1,"key":"k"}', { node: 'comet-2', incarnation: 'i9' }, 2);
    const lease = { mid: '1', key: 'k', owner: old.owner };
    const renew = (online?: Record<string, number>) =>
      call(sessions.Renew.bind(sessions), {
        comet,
        sessions: [lease],
        rooms: ['r'],
        ...(online ? { online: { room_counts: online } } : {}),
      });
    const reply = await renew();
    expect(reply).toMatchObject({
      generation: expect.stringMatching(/.+/),
      superseded: [lease],
      cluster: null,
    });
    await call(logic.goim.RenewOnline.bind(logic.goim), {
      server: 'other',
      roomCount: { r: 4, elsewhere: 1 },
    });
    expect((await renew({ r: 3 })).cluster).toEqual({ room_counts: { r: 7 } });
  });

  test('EnterRoom tells which rooms are durable, and OpenRooms where a connection begins in them', async () => {
    await start('--push.durableRooms', 'chat://*,vip', '--push.durableAll', 'true');
    const { sessions, stores } = logic;
    const { epoch } = bus;
    const enter = (room_id: string) => call(sessions.EnterRoom.bind(sessions), { comet, room_id });
    expect([await enter('chat://1'), await enter('vip'), await enter('live://1')]).toEqual([
      { durable: true },
      { durable: true },
      { durable: false },
    ]);
    for (const room of ['chat://1', 'vip'])
      await stores.streams.restore(shardOf(`r/${room}`, bus.partitions()), epoch, 70);
    const { rooms } = await call(sessions.OpenRooms.bind(sessions), {
      comet,
      rooms: [
        { room_id: 'chat://1' },
        { room_id: 'vip', start: 'START_NEWEST' },
        { room_id: 'live://1' },
        { room_id: 'vip', cursor: { stream: 'r/vip', epoch: 'old', position: 7 } },
        { room_id: 'vip', start: 'START_OLDEST' },
      ],
    });
    expect(rooms).toMatchObject([
      { cursor: { stream: 'r/chat://1', epoch, position: '70' }, at_end: true },
      { cursor: { stream: 'r/vip', epoch, position: '70' }, at_end: true },
      { cursor: null },
      { cursor: { stream: 'r/vip', epoch: 'old', position: '7' }, at_end: false },
      { cursor: { stream: 'r/vip', epoch, position: '-1' }, at_end: false },
    ]);
    await expect(
      call(sessions.OpenRooms.bind(sessions), { comet, rooms: [{ room_id: '' }] }),
    ).rejects.toMatchObject({ message: 'rooms[0].room_id: is empty' });
    await stores.streams.restore(shardOf('all', bus.partitions()), epoch, 80);
    expect(await connect('{}')).toMatchObject({ everyone: { stream: 'all', epoch } });
  });

  test('Renew tells the lease that the routes have', async () => {
    await start('--routes.leaseMs', '45000');
    const reply = await call(logic.sessions.Renew.bind(logic.sessions), { comet });
    expect(reply.route_lease_ms).toBe('45000');
  });

  test('Receive answers the id of the message', async () => {
    await start();
    const request = { comet, mid: '1', key: 'k', room_id: 'r', proto: { ver: 1, op: 4, seq: 1 } };
    const { id } = await call(logic.sessions.Receive.bind(logic.sessions), request);
    expect(id).toHaveLength(36);
  });

  test('the figures of a comet that left vanish at once', async () => {
    await start();
    await call(logic.sessions.Renew.bind(logic.sessions), { comet, online: { room_counts: { r: 3 } } });
    expect((await logic.routes.online()).size).toBe(1);
    await logic.comet.deregister();
    await until(() => logic.hub.list('comet').length === 0);
    expect((await logic.routes.online()).size).toBe(0);
  });

  test('asks for the token of the cluster where one is set', async () => {
    await start('--cluster.token', 'shared');
    await expect(connect('{}')).rejects.toMatchObject({ code: 'unauthenticated' });
    const metadata = new Metadata();
    metadata.set('authorization', 'Bearer shared');
    const request = { comet, token: Buffer.from('{}') };
    const reply = await call(logic.sessions.Connect.bind(logic.sessions), request, { metadata });
    expect(reply.mid).toBe('0');
  });
});
