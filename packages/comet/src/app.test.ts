import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';

import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { call, createClient } from '@halley/cluster/grpc/client';
import type { DeliverReply__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/DeliverReply';
import type { Delivery } from '@halley/cluster/grpc/gen/halley/delivery/v1/Delivery';
import { protos } from '@halley/cluster/grpc/protos';
import { GrpcServer } from '@halley/cluster/grpc/server';
import { EmbeddedHub, EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import type { NodeRecord, Registration } from '@halley/cluster/registry/registry';
import {
  GapReason,
  HistoryReply,
  HistoryRequest,
  Move,
  PresenceChanges,
  PresenceRequest,
  RoomsReply,
  RoomsRequest,
  SendRequest,
  Start,
  TokenReply,
  TokenRequest,
} from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrame, encodeFrames, pushFrame } from '@halley/protocol/frame';
import type { NodeId, UserId } from '@halley/protocol/ids';
import { loadConfig } from '@halley/service/config';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';

import { type CometApp, createCometApp } from './app.js';
import { cometConfig } from './config.js';
import { TEST_CERT, TEST_KEY } from './testing/certificate.js';
import { FakeLogic } from './testing/fake-logic.js';
import { until } from './testing/harness.js';
import { logicHandlers } from './testing/logic-server.js';
import { frame, TcpClient, WsClient } from './testing/test-client.js';
import { Version2Client } from './testing/version2-client.js';

const log = silentLogger();
const metrics = new Metrics({ process: false });

const FREE = {
  tcp: { port: 0 },
  ws: { port: 0 },
  tls: { port: 0 },
  wss: { port: 0 },
  grpc: { port: 0 },
  ops: { port: 0 },
  auth: { mode: 'open' },
  drain: { spreadMs: 100 },
};

describe('a comet between registry, logic and job', () => {
  let hub: EmbeddedHub;
  let registry: EmbeddedRegistry;
  let logic: FakeLogic;
  let logicServer: GrpcServer;
  let logicEntry: Registration;
  let app: CometApp;
  const clients: { close(): unknown }[] = [];
  const keep = <Client extends { close(): unknown }>(client: Client): Client => {
    clients.push(client);
    return client;
  };
  const portOf = (kind: 'tcp' | 'ws' | 'tls' | 'wss' | 'ops'): number =>
    Number(app.node.addresses[kind]?.split(':').at(-1));
  const tcp = async (token: object): Promise<TcpClient> => {
    const client = keep(await TcpClient.connect(portOf('tcp')));
    await client.auth(token);
    return client;
  };
  const delivery = () =>
    keep(
      createClient(protos.halley.delivery.v1.DeliveryService, {
        target: app.node.addresses.grpc as string,
        log,
        metrics,
        token: 'shared',
      }),
    );
  const start = async (overrides: Record<string, unknown> = {}): Promise<void> => {
    const config = loadConfig(cometConfig, {
      defaults: { ...FREE, cluster: { token: 'shared' }, ...overrides },
    });
    app = createCometApp(config, { registry, log, metrics: new Metrics({ process: false }) });
    await app.start();
  };

  beforeEach(async () => {
    hub = new EmbeddedHub();
    registry = new EmbeddedRegistry({ log, hub });
    await registry.start();
    logic = new FakeLogic();
    logicServer = new GrpcServer({ host: '127.0.0.1', port: 0, log, metrics });
    logicServer.addService(protos.halley.delivery.v1.SessionService.service, logicHandlers(logic));
    await logicServer.start();
    logicEntry = await registry.register({
      tier: 'logic',
      id: 'logic-1' as NodeId,
      incarnation: 'i',
      addresses: { grpc: `127.0.0.1:${logicServer.boundPort}` },
    } as unknown as NodeRecord);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await app.stop(2_000);
    await logicServer.stop(500);
    await registry.stop(500);
  });

  /** A job's stream, after its welcome. */
  const jobStream = async (epoch = 'e') => {
    const stream = delivery().Deliver();
    const replies: DeliverReply__Output[] = [];
    let ended: unknown;
    stream.on('data', (reply: DeliverReply__Output) => replies.push(reply));
    stream.on('error', (error) => {
      ended = error;
    });
    stream.write({
      hello: { job: 'job-1', job_incarnation: 'j', comet_incarnation: app.node.incarnation, epoch },
    });
    await until(() => replies.length > 0 || ended !== undefined);
    const deliver = (deliveries: Delivery[], topic = 'halley-push', partition = 3): void => {
      stream.write({ batches: { batches: [{ topic, partition, deliveries }] } });
    };
    const acked = (): number =>
      Math.max(-1, ...replies.flatMap((reply) => reply.acks?.acks ?? []).map((ack) => Number(ack.position)));
    return { stream, replies, deliver, acked, ended: () => ended };
  };

  test('registers what it serves, is ready once a logic is there, and says what is missing', async () => {
    await start();
    const [node] = hub.list('comet');
    expect(Object.keys(node?.addresses ?? {}).sort()).toEqual(['grpc', 'ops', 'tcp', 'ws']);
    expect(node).toMatchObject({ tier: 'comet', state: 'serving' });
    expect(app.ready()).toEqual([]);
    await logicEntry.deregister();
    expect(app.ready()).toEqual(['logic: none is registered']);
    const response = await fetch(`http://127.0.0.1:${portOf('ops')}/readyz`);
    expect(response.status).toBe(503);
  });

  test('a client is authenticated by logic, with the code of its error', async () => {
    await start();
    const client = await tcp({ mid: 1, key: 'k', room_id: 'r' });
    expect(logic.calls.slice(0, 2)).toEqual(['connect', 'enter r']);
    client.send(frame(1_000, 'up', 3));
    expect((await client.next()).seq).toBe(3);
    expect(logic.received[0]).toMatchObject({ mid: '1', key: 'k', roomId: 'r' });
    const bad = keep(await WsClient.connect(portOf('ws')));
    bad.send(frame(7, 'no json'));
    expect((await bad.end()).code).toBe(CloseCode.BadToken);
  });

  test("a user's stream is told by job, read and renewed over gRPC, and goes on where it was", async () => {
    await start();
    const { streams } = logic;
    const first = await tcp({ mid: 1, key: 'k', accepts: [5] });
    const { deliver, acked } = await jobStream('e1');
    const tell = (withoutBody: boolean): void => {
      const { position, operation, body, streams: hints } = streams.append('u/1');
      deliver([
        {
          position,
          operation,
          body: withoutBody ? Buffer.alloc(0) : Buffer.from(body),
          streams: hints.map(({ stream, prev, keys }) => ({ stream, prev, keys: [...keys] })),
          without_body: withoutBody,
        },
      ]);
    };
    tell(false);
    tell(true);
    expect(await first.texts(2)).toEqual(['5:0', '5:1']);
    await until(() => acked() === 1);
    first.send(frame(2), frame(2));
    await first.next();
    await first.next();
    await until(() => streams.cursors.get('k')?.position === 1);
    streams.append('u/1');
    expect(await first.texts(1)).toEqual(['5:2']);
    first.send(frame(2), frame(2));
    await first.next();
    await first.next();
    first.close();
    await until(() => !logic.routes.has('k'));
    expect(streams.cursors.get('k')).toEqual({ stream: 'u/1', epoch: 'e1', position: 2 });
    streams.floor = 3;
    for (let i = 0; i < 3; i += 1) streams.append('u/1');
    const second = await tcp({ mid: 1, key: 'k', accepts: [5] });
    expect(await second.texts(2)).toEqual(['5:4', '5:5']);
  });

  test('version 2 is spoken with logic over gRPC, and a client is told where to go when the node stops', async () => {
    await start({ drain: { spreadMs: 300 } });
    await registry.register({
      ...app.node,
      id: 'other' as NodeId,
      addresses: { tcp: 'other:3101' },
      publicAddresses: [],
    });
    logic.durableRooms.add('d');
    logic.presences.set('9007199254740993', { online: true, platforms: ['web'], lastSeenMs: 4 });
    logic.tokens.set('new', { anyRoom: false, roomGrants: ['x'] });
    logic.answers.set(26, () => HistoryReply.encode({ epoch: 'e1', more: true }));
    const read = { stream: 'u/1', epoch: 'e1', position: -1, unread: 3, mid: '0' as UserId, atMs: 7 };
    logic.answer = { publishAny: false, publishGrants: ['x'], sendToUsers: false, read };
    logic.streams.append('u/1', { sender: { mid: '7', key: 's', clientId: 'c', toMid: '1' } as never });
    const wire = keep(await TcpClient.connect(portOf('tcp')));
    const client = await new Version2Client(wire).open(
      { mid: 1, key: 'k', accepts: [5] },
      { cursor: { epoch: 'e1', position: -1 }, start: Start.Newest },
    );
    expect(logic.connects[0]?.version2).toEqual({
      cursor: { epoch: 'e1', position: -1 },
      start: Start.Newest,
    });
    expect(client.auth).toMatchObject({ inbox: { stream: 'u/1', epoch: 'e1', position: -1 }, read });
    expect((await client.delivered()).entries[0]).toMatchObject({
      id: 'm0',
      fromMid: '7',
      fromKey: 's',
      clientId: 'c',
      toMid: '1',
    });
    const rooms = { join: [{ room: 'd', epoch: 'e0', position: 5 }, { room: 'x' }] };
    const { answers } = await client.ask(24, RoomsRequest, rooms, 25, RoomsReply);
    expect(answers).toMatchObject([
      { room: 'd', durable: true, epoch: 'e0', position: 5 },
      { room: 'x', durable: false },
    ]);
    expect((await client.delivered()).gap).toMatchObject({ reason: GapReason.Epoch });
    const history = await client.ask(26, HistoryRequest, { stream: 'u/1' }, 27, HistoryReply);
    expect(history).toEqual({ epoch: 'e1', entries: [], more: true });
    expect(await client.refusal(client.request(18, SendRequest, { room: 'd' }))).toBe('send_not_granted');
    const watch = { watch: ['9007199254740993' as UserId] };
    const { users } = await client.ask(33, PresenceRequest, watch, 34, PresenceChanges);
    expect(users).toEqual([{ mid: '9007199254740993', online: true, platforms: ['web'], lastSeenMs: 4 }]);
    const renewed = await client.ask(37, TokenRequest, { token: 'new' }, 38, TokenReply);
    expect(renewed).toEqual({ tokenExpiresAtMs: 0, leftRooms: ['d'] });
    const stopped = app.stop(2_000);
    expect(await client.reply(29, Move)).toMatchObject({ nodes: ['other:3101'], delayMs: 0 });
    await stopped;
    expect((await client.end()).close?.code).toBe(CloseCode.Draining);
  });

  test('the load is registered soon after the first connection', async () => {
    await start();
    await tcp({ mid: 1 });
    await until(() => hub.list('comet')[0]?.load.connections === 1);
    expect(hub.list('comet')[0]?.load).toEqual({ connections: 1, ips: 1 });
  });

  test('deliveries reach keys, rooms and everyone, and are acknowledged cumulatively', async () => {
    await start();
    const client = await tcp({ mid: 1, key: 'k', room_id: 'r', accepts: [5] });
    const job = await jobStream();
    expect(job.replies[0]?.welcome?.comet_incarnation).toBe(app.node.incarnation);
    const body = (text: string): Buffer => Buffer.from(text);
    job.deliver([
      { position: 1_024, operation: 5, body: body('key'), keys: ['k'] },
      { position: 1_025, operation: 6, body: body('not accepted'), keys: ['k'] },
      { position: 2_048, operation: 6, body: body('room'), rooms: ['r'] },
    ]);
    await until(() => job.acked() === 2_048);
    job.deliver([{ position: 3_072, operation: 5, body: body('all'), everyone: true }]);
    await until(() => job.acked() === 3_072);
    expect(await client.texts(3)).toEqual(['5:key', '6:room', '5:all']);
  });

  test('what was had is dropped and acknowledged again, also from another job, but not of another epoch', async () => {
    await start();
    const client = await tcp({ mid: 1, key: 'k', accepts: [5] });
    const [first, second, later] = [await jobStream(), await jobStream(), await jobStream('another')];
    const at = (position: number, text: string): Delivery => ({
      position,
      operation: 5,
      body: Buffer.from(text),
      keys: ['k'],
    });
    first.deliver([at(1, 'a'), at(2, 'b')]);
    await until(() => first.acked() === 2);
    second.deliver([at(1, 'a'), at(2, 'b'), at(3, 'c')]);
    await until(() => second.acked() === 3);
    later.deliver([at(1, 'new epoch')]);
    await until(() => later.acked() === 1);
    expect(await client.texts(4)).toEqual(['5:a', '5:b', '5:c', '5:new epoch']);
  });

  test('what has expired is acknowledged and not shown', async () => {
    await start();
    const client = await tcp({ mid: 1, key: 'k', accepts: [5] });
    const job = await jobStream();
    job.deliver([
      { position: 1, operation: 5, body: Buffer.from('late'), keys: ['k'], expire_at_ms: Date.now() - 1 },
      {
        position: 2,
        operation: 5,
        body: Buffer.from('in time'),
        keys: ['k'],
        expire_at_ms: Date.now() + 60_000,
      },
    ]);
    expect(await client.texts(1)).toEqual(['5:in time']);
    await until(() => job.acked() === 2);
  });

  test('a stream or a kick that means another incarnation is refused', async () => {
    await start();
    const stream = delivery().Deliver();
    const code = await new Promise<number>((resolve) => {
      stream.on('error', (error: Error & { code: number }) => resolve(error.code));
      stream.on('data', () => resolve(-1));
      stream.write({ hello: { job: 'j', comet_incarnation: 'another', epoch: 'e' } });
    });
    expect(code).toBe(9);
    const client = delivery();
    await expect(
      call(client.Kick.bind(client), { comet_incarnation: 'another', targets: [] }),
    ).rejects.toMatchObject({ code: 'wrong_incarnation' });
  });

  test('a kick closes the connection of the owner named and no newer one', async () => {
    await start();
    const client = keep(await WsClient.connect(portOf('ws')));
    await client.auth({ mid: 7, key: 'k' });
    const owner = logic.routes.get('k') as string;
    const calls = delivery();
    const kick = (target: object) =>
      call(calls.Kick.bind(calls), {
        comet_incarnation: app.node.incarnation,
        targets: [{ mid: 7, key: 'k', owner, ...target }],
        code: CloseCode.Kicked,
        reason: 'bye',
      });
    expect((await kick({ owner: 'older' })).closed).toBe(0);
    expect((await kick({ mid: 8 })).closed).toBe(0);
    expect((await kick({})).closed).toBe(1);
    expect(await client.end()).toEqual({ code: CloseCode.Kicked, reason: 'bye' });
  });

  test("goim's calls push, and name the rooms", async () => {
    await start();
    const ws = keep(await WsClient.connect(portOf('ws')));
    await ws.auth({ mid: 1, key: 'k', room_id: 'r', accepts: [5] });
    const comet = keep(
      createClient(protos.goim.comet.Comet, {
        target: app.node.addresses.grpc as string,
        log,
        metrics,
        token: 'shared',
      }),
    );
    const made = encodeFrames([pushFrame(5, Buffer.from('a')), pushFrame(5, Buffer.from('b'))]);
    await call(comet.PushMsg.bind(comet), { keys: ['k'], protoOp: 5, proto: { ver: 1, op: 9, body: made } });
    await call(comet.PushMsg.bind(comet), { keys: ['k'], protoOp: 6, proto: { ver: 1, op: 9, body: made } });
    await call(comet.BroadcastRoom.bind(comet), {
      roomID: 'r',
      proto: { ver: 1, op: 8_000, body: Buffer.from('c') },
    });
    expect(await ws.texts(3)).toEqual(['5:a', '5:b', '8000:c']);
    await call(comet.Broadcast.bind(comet), { protoOp: 5, proto: { ver: 1, op: 5, body: Buffer.from('d') } });
    expect(await ws.texts(1)).toEqual(['5:d']);
    expect(ws.outer).toEqual([8, 9, 9, 9]);
    expect((await call(comet.Rooms.bind(comet), {})).rooms).toEqual({ r: true });
    await expect(call(comet.PushMsg.bind(comet), { keys: [] })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    await expect(
      call(comet.BroadcastRoom.bind(comet), { roomID: 'r', proto: { op: 9, body: Buffer.from('x') } }),
    ).rejects.toThrow('proto.body');
  });

  test('who lacks the token of the cluster is let in nowhere', async () => {
    await start();
    const stranger = keep(
      createClient(protos.goim.comet.Comet, { target: app.node.addresses.grpc as string, log, metrics }),
    );
    await expect(call(stranger.Rooms.bind(stranger), {})).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  test('with a certificate it serves TLS and WSS too', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'comet-'));
    const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
    await writeFile(certFile, TEST_CERT);
    await writeFile(keyFile, TEST_KEY);
    await start({ tls: { port: 0, certFile, keyFile }, proxy: { trusted: ['127.0.0.1'] } });
    const wss = keep(await WsClient.connect(portOf('wss'), { scheme: 'wss', ca: TEST_CERT }));
    await wss.auth({ mid: 1, key: 'a', room_id: 'r', accepts: [5] });
    const socket = connectTls({ host: '127.0.0.1', port: portOf('tls'), ca: TEST_CERT });
    const tls = keep(TcpClient.over(socket));
    await tls.auth({ mid: 2, key: 'b', room_id: 'r', accepts: [5] });
    const job = await jobStream();
    const big = Buffer.alloc(300_000, 7);
    job.deliver([{ position: 1, operation: 5, body: big, keys: ['a', 'b'], rooms: ['r'] }]);
    for (const client of [wss, tls]) {
      expect((await client.next()).body.length).toBe(big.length);
      expect((await client.next()).body.length).toBe(big.length);
    }
    await rm(dir, { recursive: true });
  });

  test('stops by telling its clients, removing their routes and leaving the registry', async () => {
    await start();
    const ws = keep(await WsClient.connect(portOf('ws')));
    await ws.auth({ mid: 1, key: 'k', room_id: 'r' });
    const states: string[] = [];
    const view = await registry.watch('comet');
    view.onChange(({ changed, left }) => {
      states.push(...changed.map(({ state }) => state), ...left.map(() => 'left'));
    });
    await app.stop(5_000);
    expect((await ws.end()).code).toBe(CloseCode.Draining);
    expect(states.filter((state) => state !== 'serving')).toEqual(['draining', 'left']);
    expect(logic.routes.size).toBe(0);
    expect(logic.rooms.size).toBe(0);
    expect(logic.renewals.at(-1)?.online).toEqual(new Map());
    await expect(TcpClient.connect(portOf('tcp'))).rejects.toThrow('ECONNREFUSED');
  });

  test('a taken port refuses the start with one line, and leaves nothing behind', async () => {
    await start();
    const taken = loadConfig(cometConfig, { defaults: { ...FREE, tcp: { port: portOf('tcp') } } });
    const second = createCometApp(taken, { registry, log, metrics });
    await expect(second.start()).rejects.toThrow(/comet tcp port .* is taken/);
    expect(hub.list('comet')).toHaveLength(1);
    const client = await tcp({ mid: 1 });
    client.write(encodeFrame(frame(2, '', 4)));
    expect((await client.next()).seq).toBe(4);
  });

  test('open tokens on an address that others reach are refused', async () => {
    await start();
    const config = loadConfig(cometConfig, { defaults: { ...FREE, node: { bind: '0.0.0.0' } } });
    await expect(createCometApp(config, { registry, log, metrics }).start()).rejects.toThrow('--insecure');
  });
});
