import { call } from '@halley/cluster/grpc/client';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { FakeBus } from '../testing/fake-bus.js';
import { type LogicFixture, startLogic } from '../testing/logic-fixture.js';

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

describe('goim.logic.Logic', () => {
  const connect = (token: string, server = 'comet-1') =>
    call(logic.goim.Connect.bind(logic.goim), { server, cookie: '', token: Buffer.from(token) });

  test('Connect answers what the token says, with the heartbeat in nanoseconds', async () => {
    await start();
    const token = '{"mid":9007199254740993,"key":"k","room_id":"live://1","accepts":[1000,1001]}';
    expect(await connect(token)).toEqual({
      mid: '9007199254740993',
      key: 'k',
      roomID: 'live://1',
      accepts: [1000, 1001],
      heartbeat: '480000000000',
    });
    const found = await logic.routes.find({ keys: ['k' as ConnectionKey] });
    expect(found.keys.get('k' as ConnectionKey)?.at).toEqual({ node: 'comet-1', incarnation: 'i1' });
    expect((await connect('{}')).key).toHaveLength(36);
    await expect(connect('{"mid":"x"}')).rejects.toMatchObject({ code: 'bad_token' });
    await expect(connect('{}', '')).rejects.toMatchObject({
      code: 'invalid_argument',
      message: 'server: is empty',
    });
  });

  test('Disconnect says whether the connection was there', async () => {
    await start();
    await connect('{"mid":1,"key":"k"}');
    const gone = { mid: '1', key: 'k', server: 'comet-1' };
    expect(await call(logic.goim.Disconnect.bind(logic.goim), gone)).toEqual({ has: true });
    expect(await call(logic.goim.Disconnect.bind(logic.goim), gone)).toEqual({ has: false });
  });

  test('Heartbeat writes a lost route again', async () => {
    await start();
    await call(logic.goim.Heartbeat.bind(logic.goim), { mid: '1', key: 'k', server: 'elsewhere' });
    const found = await logic.routes.find({ users: ['1' as UserId] });
    expect(found.users.get('1' as UserId)?.[0]?.at.node).toBe('elsewhere');
  });

  test('RenewOnline sums over the servers', async () => {
    await start();
    const renew = (server: string, roomCount: Record<string, number>) =>
      call(logic.goim.RenewOnline.bind(logic.goim), { server, roomCount });
    await renew('a', { r: 3, s: 1 });
    expect(await renew('b', { r: 4 })).toEqual({ allRoomCount: { r: 7, s: 1 } });
    expect(await renew('a', { r: 0 })).toEqual({ allRoomCount: { r: 4 } });
  });

  test('Receive writes to the topic of the business', async () => {
    await start();
    await call(logic.goim.Receive.bind(logic.goim), {
      mid: '5',
      proto: { ver: 1, op: 4, seq: 2, body: Buffer.from('x') },
    });
    expect(bus.calls[0]).toMatchObject({ topic: 'goim-receive-topic', records: [{ key: '5' }] });
    await expect(call(logic.goim.Receive.bind(logic.goim), { mid: '5' })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    bus.answer = () => new HalleyError('bus_unknown');
    const again = call(logic.goim.Receive.bind(logic.goim), { mid: '5', proto: {} });
    await expect(again).rejects.toMatchObject({ code: 'bus_unknown' });
  });

  test("Nodes has goim's shape", async () => {
    await start();
    expect(await call(logic.goim.Nodes.bind(logic.goim), { platform: 'web', clientIP: '' })).toMatchObject({
      domain: 'conn.goim.io',
      tcp_port: 3101,
      ws_port: 3102,
      wss_port: 3103,
      heartbeat: 240,
      nodes: ['host.goim.io'],
      backoff: { max_delay: 300, base_delay: 3, factor: expect.closeTo(1.8), jitter: expect.closeTo(0.3) },
      heartbeat_max: 2,
    });
  });
});
