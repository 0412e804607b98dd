import { Metadata } from '@grpc/grpc-js';
import { call } from '@halley/cluster/grpc/client';
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
