import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { call } from '@halley/cluster/grpc/client';
import type { PushRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { PushStreamReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushStreamReply';
import type { Upstream__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Upstream';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { EmbeddedBus } from '@halley/store/bus/embedded';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

import { FakeBus } from '../testing/fake-bus.js';
import { type LogicFixture, startLogic } from '../testing/logic-fixture.js';

const comet = { node: 'comet-1', incarnation: 'i1' };
const toUser = (mid: string, fields: PushRequest = {}): PushRequest => ({
  target: { users: { mids: [mid] } },
  operation: 1000,
  body: Buffer.from('hello'),
  ...fields,
});
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

describe('PushService', () => {
  const push = (request: PushRequest, deadlineMs?: number) =>
    call(logic.push.Push.bind(logic.push), request, deadlineMs === undefined ? {} : { deadlineMs });
  /** The error as another gRPC client sees it. */
  const failure = (request: PushRequest) =>
    new Promise<ServiceError>((resolve, reject) => {
      logic.push.Push(request, (error) => (error ? resolve(error) : reject(new Error('no error'))));
    });

  test('Push answers the id, given or fresh', async () => {
    await start();
    expect(await push(toUser('1', { id: 'mine' }))).toEqual({ id: 'mine' });
    expect((await push(toUser('1'))).id).toHaveLength(36);
    expect(bus.pushes()[0]).toMatchObject({
      id: 'mine',
      users: ['1'],
      traceparent: expect.stringMatching(/^00-/),
    });
  });

  test('an error tells the field, the code, the outcome and when to repeat', async () => {
    await start('--push.maxInFlight', '1');
    const invalid = await failure(toUser('0'));
    expect(invalid.code).toBe(status.INVALID_ARGUMENT);
    expect(invalid.details).toContain('target.users.mids[0]');
    expect(invalid.metadata.get('halley-code')).toEqual(['invalid_argument']);
    expect(invalid.metadata.get('halley-outcome')).toEqual(['refused']);

    bus.answer = () => new HalleyError('bus_unknown');
    const unknown = await failure(toUser('1'));
    expect([unknown.code, unknown.metadata.get('halley-outcome')]).toEqual([status.UNAVAILABLE, ['unknown']]);

    bus.answer = undefined;
    const held = push(toUser('1'));
    await until(() => bus.calls.length === 2);
    const overloaded = await failure(toUser('1'));
    expect(overloaded.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(Number(overloaded.metadata.get('retry-after-ms')[0])).toBeGreaterThan(0);
    bus.calls.at(-1)?.resolve();
    await held;
  });

  test("the caller's deadline goes with the push", async () => {
    await start();
    await push(toUser('1'), 5_000);
    const left = (bus.calls[0]?.options?.deadlineMs ?? 0) - systemClock.monotonicMs();
    expect(left).toBeGreaterThan(3_000);
    expect(left).toBeLessThanOrEqual(5_000);
  });

  test('pipelined pushes of one client keep their order, also behind a slow look-up', async () => {
    await start();
    const owners = logic.routes.owners.bind(logic.routes);
    logic.routes.owners = async (keys) => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      return owners(keys);
    };
    const ids = Array.from({ length: 50 }, (_, index) => String(index));
    await Promise.all(
      ids.map((id, index) =>
        push(index === 3 ? toUser('1', { id, target: { keys: { keys: ['k'] } } }) : toUser('1', { id })),
      ),
    );
    expect(bus.pushes().map(({ id }) => id)).toEqual(ids);
  });

  test('PushBatch answers each push on its own, in order', async () => {
    await start();
    const requests = [toUser('1', { id: 'a' }), toUser('0', { id: 'b' }), toUser('2', { id: 'c' })];
    const { results } = await call(logic.push.PushBatch.bind(logic.push), { requests });
    expect(results).toMatchObject([
      { id: 'a', outcome: 'OUTCOME_OK', code: '' },
      {
        id: 'b',
        outcome: 'OUTCOME_REFUSED',
        code: 'invalid_argument',
        message: expect.stringContaining('requests[1].target.users.mids[0]'),
      },
      { id: 'c', outcome: 'OUTCOME_OK' },
    ]);
    const batch = (count: number) =>
      call(logic.push.PushBatch.bind(logic.push), {
        requests: Array.from({ length: count }, () => toUser('1')),
      });
    expect((await batch(1_024)).results).toHaveLength(1_024);
    await expect(batch(1_025)).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringContaining('requests: 1025'),
    });
    await expect(batch(0)).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  test('PushStream answers in order, keeps the order, and names what is wrong', async () => {
    await start();
    const stream = logic.push.PushStream();
    const replies: PushStreamReply__Output[] = [];
    stream.on('data', (reply: PushStreamReply__Output) => replies.push(reply));
    const ended = new Promise<void>((resolve, reject) => stream.on('end', resolve).on('error', reject));
    for (let seq = 0; seq < 300; seq += 1) {
      stream.write({ seq, push: seq === 7 ? toUser('0', { id: '7' }) : toUser('1', { id: String(seq) }) });
    }
    stream.write({ seq: 300 });
    stream.end();
    await ended;
    expect(replies.map(({ seq }) => seq)).toEqual(Array.from({ length: 301 }, (_, seq) => String(seq)));
    expect(replies[7]?.result).toMatchObject({
      id: '7',
      outcome: 'OUTCOME_REFUSED',
      message: expect.stringContaining('push.target.users.mids[0]'),
    });
    expect(replies[300]?.result).toMatchObject({
      outcome: 'OUTCOME_REFUSED',
      message: expect.stringContaining('push: is missing'),
    });
    expect(bus.pushes().map(({ id }) => id)).toEqual(
      replies
        .slice(0, 300)
        .map(({ result }) => result?.id)
        .filter((id) => id !== '7'),
    );
  });

  test('PushStream is not read beyond its window', async () => {
    await start('--push.streamWindow', '4');
    bus.answer = undefined;
    const stream = logic.push.PushStream();
    const replies: string[] = [];
    stream.on('data', ({ seq }: PushStreamReply__Output) => replies.push(seq));
    stream.on('error', () => undefined);
    for (let seq = 0; seq < 50; seq += 1) stream.write({ seq, push: toUser('1') });
    await until(() => bus.calls.length === 4);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(bus.calls).toHaveLength(4);
    // The second is answered only after the first.
    bus.calls[1]?.resolve();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(replies).toEqual([]);
    bus.calls[0]?.resolve();
    await until(() => replies.length === 2 && bus.calls.length === 6);
    for (const produced of bus.calls) produced.resolve();
    stream.cancel();
  });

  test('a caller that goes away in the middle disturbs nobody', async () => {
    await start();
    bus.answer = undefined;
    const stream = logic.push.PushStream();
    stream.on('error', () => undefined);
    stream.write({ seq: 1, push: toUser('1') });
    await until(() => bus.calls.length === 1);
    stream.cancel();
    await new Promise((resolve) => setTimeout(resolve, 20));
    bus.calls[0]?.resolve();
    bus.answer = () => 'ok';
    expect((await push(toUser('2', { id: 'x' }))).id).toBe('x');
  });

  test('GetPresence answers for each user, in order', async () => {
    await start();
    for (const key of ['a', 'b']) {
      await call(logic.sessions.Connect.bind(logic.sessions), {
        comet,
        counter: 1,
        token: Buffer.from(`{"mid":7,"key":"${key}"}`),
      });
    }
    const { users } = await call(logic.push.GetPresence.bind(logic.push), { mids: ['404', '7', '404'] });
    expect(users.map(({ mid, connections }) => [mid, connections.map(({ key }) => key).toSorted()])).toEqual([
      ['404', []],
      ['7', ['a', 'b']],
      ['404', []],
    ]);
    expect(users[1]?.connections[0]).toMatchObject({
      node: 'comet-1',
      connected_at_ms: expect.stringMatching(/^\d{13}$/),
    });
    await expect(call(logic.push.GetPresence.bind(logic.push), { mids: [] })).rejects.toMatchObject({
      message: 'mids: is empty',
    });
  });

  test('ListNodes lists a tier or all', async () => {
    await start();
    const list = (tier: string) => call(logic.push.ListNodes.bind(logic.push), { tier });
    expect((await list('')).nodes.map(({ tier }) => tier)).toEqual(['comet', 'logic']);
    expect((await list('comet')).nodes).toEqual([
      expect.objectContaining({
        id: 'comet-1',
        incarnation: 'i1',
        state: 'serving',
        connections: '2',
        region: 'sh',
      }),
    ]);
    await expect(list('x')).rejects.toMatchObject({ message: expect.stringMatching(/^tier: /) });
  });

  test('Disconnect closes connections where they are', async () => {
    await start();
    for (const key of ['a', 'b']) {
      await call(logic.sessions.Connect.bind(logic.sessions), {
        comet,
        counter: 1,
        token: Buffer.from(`{"mid":7,"key":"${key}"}`),
      });
    }
    const disconnect = (request: object) => call(logic.push.Disconnect.bind(logic.push), request);
    expect(await disconnect({ users: { mids: ['7', '404'] }, reason: 'bye' })).toEqual({ closed: 2 });
    expect(logic.kicks[0]).toMatchObject({
      code: 3007,
      reason: 'bye',
      targets: [{ mid: '7' }, { mid: '7' }],
    });
    expect(await disconnect({ keys: { keys: ['nobody'] } })).toEqual({ closed: 0 });
    await expect(disconnect({})).rejects.toMatchObject({ message: expect.stringMatching(/^target: /) });
    await expect(disconnect({ keys: { keys: [''] } })).rejects.toMatchObject({
      message: 'keys.keys[0]: is empty',
    });
    await expect(disconnect({ users: { mids: ['1'] }, reason: 'x'.repeat(101) })).rejects.toMatchObject({
      message: expect.stringMatching(/^reason: /),
    });
  });

  test('asks for an API key with the scope where keys are set', async () => {
    await start('--api.keys', '[{ name: shop, key: k, scopes: [push] }]');
    await expect(push(toUser('1'))).rejects.toMatchObject({ code: 'unauthenticated' });
    const metadata = new Metadata();
    metadata.set('x-api-key', 'k');
    await call(logic.push.Push.bind(logic.push), toUser('1'), { metadata });
    expect(bus.pushes()[0]?.caller).toBe('shop');
    await expect(call(logic.push.ListNodes.bind(logic.push), {}, { metadata })).rejects.toMatchObject({
      code: 'permission_denied',
    });
    expect(await logic.metrics.registry.metrics()).toMatch(
      /halley_logic_api_refusals_total\{reason="permission_denied"\} 1/,
    );
  });
});

describe('UpstreamService', () => {
  const receive = (group: string, window = 0) => {
    const stream = logic.upstream.Receive();
    const messages: Upstream__Output[] = [];
    const ended = new Promise<ServiceError | undefined>((resolve) => {
      stream.on('error', (error) => resolve(error as ServiceError)).on('end', () => resolve(undefined));
    });
    stream.on('data', (message: Upstream__Output) => messages.push(message));
    stream.write({ group, window });
    const bodies = () => messages.map(({ proto }) => proto?.body.toString());
    return { stream, messages, bodies, ended };
  };
  const send = (mid: string, body: string) =>
    call(logic.goim.Receive.bind(logic.goim), {
      mid,
      proto: { ver: 1, op: 4, seq: 1, body: Buffer.from(body) },
    });

  test('hands over what clients send, in order, and again what was not acknowledged', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'halley-logic-'));
    const embedded = new EmbeddedBus({ dataDir, partitions: 4, log: silentLogger(), clock: systemClock });
    await embedded.start();
    logic = await startLogic(embedded);
    for (const body of ['1', '2', '3']) await send('5', body);
    const first = receive('shop');
    await until(() => first.messages.length === 3);
    expect(first.bodies()).toEqual(['1', '2', '3']);
    first.stream.write({ ack_ids: [first.messages[0]?.id ?? ''] });
    await new Promise((resolve) => setTimeout(resolve, 100));
    first.stream.end();
    expect(await first.ended).toBeUndefined();

    const second = receive('shop');
    const other = receive('audit');
    await until(() => second.messages.length === 2 && other.messages.length === 3);
    expect(second.bodies()).toEqual(['2', '3']);
    await send('5', '4');
    await until(() => second.messages.length === 3 && other.messages.length === 4);
    second.stream.cancel();
    other.stream.cancel();
    await logic.stop();
    await embedded.stop(1_000);
  });

  test.each(['', 'a b', 'x'.repeat(65)])('group %j is refused', async (group) => {
    await start();
    const { ended } = receive(group);
    expect(await ended).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/^group: /),
    });
  });

  test('a window out of range is refused', async () => {
    await start();
    expect((await receive('g', -1).ended)?.details).toMatch(/^window: /);
    expect((await receive('g', 10_001).ended)?.details).toMatch(/^window: /);
  });

  test('ends with the node', async () => {
    await start();
    const { ended } = receive('g');
    await until(() => bus.consumers.length === 1);
    await logic.app.stop(2_000);
    expect((await ended)?.code).toBe(status.UNAVAILABLE);
    expect(bus.consumers[0]?.stopped).toBe(true);
  });
});
