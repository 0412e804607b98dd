import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';

import type { Upstream__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Upstream';
import { Move } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { encodeFrames } from '@halley/protocol/frame';
import { Operation, OperationV2 } from '@halley/protocol/operation';

import { logicClient, unary, upstreamClient } from '../harness/grpc.js';
import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import type { Transport } from '../harness/goim-client.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { Version2Client } from '../harness/version2/client.js';
import { eventually } from '../harness/within.js';
import { WsClient } from '../harness/ws-client.js';
import { Stage, TRANSPORTS } from './suite/stage.js';

/** What only a start of our own can show: short deadlines, and the log. */
const HEARTBEAT_MS = 1_000;
const HEARTBEAT_MAX = 2;
const TIMEOUT_MS = HEARTBEAT_MS * HEARTBEAT_MAX;

let started: StartedHalley | undefined;

beforeAll(async () => {
  started = await startHalley([
    `--session.heartbeatMs=${HEARTBEAT_MS}`,
    `--session.heartbeatMax=${HEARTBEAT_MAX}`,
    '--log.level=trace',
  ]);
}, 60_000);

afterAll(async () => {
  await started?.stop();
}, 20_000);

const stage = new Stage(() => halley().target);

let startedAt = 0;
afterEach(() => {
  startedAt = 0;
});

/** Milliseconds until the connection ended, from now on. */
async function lifeMs(
  transport: Transport,
  act: (client: Awaited<ReturnType<Stage['open']>>) => void,
): Promise<number> {
  const client = await stage.open(transport, { mid: newMid() });
  startedAt = performance.now();
  const timer = setInterval(() => act(client), 200);
  const { code } = await client.end(3 * TIMEOUT_MS).finally(() => clearInterval(timer));
  expect(code).toBe(transport !== 'tcp' ? CloseCode.HeartbeatTimeout : undefined);
  return performance.now() - startedAt;
}

test.each(TRANSPORTS)(
  'over %s only a heartbeat keeps a connection alive',
  async (transport) => {
    const lives = await Promise.all([
      lifeMs(transport, () => undefined),
      lifeMs(transport, (client) => client.send({ op: Operation.Business })),
      lifeMs(transport, (client) => client.send({ op: Operation.ChangeRoom })),
      lifeMs(transport, (client) => client.send({ op: Operation.Auth, body: Buffer.from('{}') })),
      ...(transport === 'ws'
        ? [lifeMs('ws', (client) => client instanceof WsClient && void client.ping(''))]
        : []),
    ]);
    for (const life of lives) {
      expect(life).toBeGreaterThan(TIMEOUT_MS - 300);
      expect(life).toBeLessThan(TIMEOUT_MS + 2_000);
    }
  },
  20_000,
);

test.each(TRANSPORTS)(
  'over %s heartbeats keep it alive for as long as they come',
  async (transport) => {
    const client = await stage.open(transport, {});
    for (let beats = 0; beats < 5; beats += 1) {
      await sleep(HEARTBEAT_MS);
      expect(await client.heartbeat()).toBe(0);
    }
    expect(client.isClosed).toBe(false);
    expect(await client.end(3 * TIMEOUT_MS)).toBeDefined();
  },
  20_000,
);

test('the interval is told to clients in seconds, and to a comet as the timeout in nanoseconds', async () => {
  const { text } = await stage.http.get('/goim/nodes/weighted');
  expect(JSON.parse(text)).toMatchObject({ data: { heartbeat: 1, heartbeat_max: HEARTBEAT_MAX } });
  const logic = logicClient(halley().target.logicGrpc);
  const request = { server: 'conformance-server', cookie: '', token: Buffer.from('{}') };
  expect(await unary(logic.Connect.bind(logic), request)).toMatchObject({
    heartbeat: String(TIMEOUT_MS * 1e6),
  });
  logic.close();
});

test.each([
  ['tcp', 'ends its side'],
  ['tcp', 'is closed'],
  ['ws', 'says close'],
  ['ws', 'is cut off'],
] as const)(
  'what a client said over %s reaches the business, in order, when it %s behind it',
  async (transport, how) => {
    const mid = newMid();
    const logic = upstreamClient(halley().target.logicGrpc);
    const upstream = logic.Receive();
    const bodies: string[] = [];
    upstream.on('error', () => undefined);
    upstream.on('data', (message: Upstream__Output) => {
      if (message.mid === String(mid)) bodies.push(String(message.proto?.body));
    });
    upstream.write({ group: newKey() });
    const messages = Array.from({ length: 20 }, (_, i) => `${i}`);
    const frames = [
      { ver: 1, op: Operation.Auth, seq: 1, body: Buffer.from(`{"mid":${mid}}`) },
      ...messages.map((body, seq) => ({ ver: 1, op: Operation.Business, seq, body: Buffer.from(body) })),
    ];
    if (transport === 'tcp') {
      const client = await stage.tcp();
      client.sendBytes(encodeFrames(frames));
      client.endSide();
      if (how === 'is closed') client.close();
    } else {
      const client = await stage.ws();
      client.sendBytes(encodeFrames(frames));
      if (how === 'says close') client.sendClose(1_000);
      else client.close();
    }
    expect(
      await eventually(
        () => [...bodies],
        ({ length }) => length >= messages.length,
      ),
    ).toEqual(messages);
    upstream.cancel();
    logic.close();
  },
  20_000,
);

test('neither tokens nor bodies are logged, at any level', async () => {
  const [mid, op, secret] = [newMid(), newOp(), newKey()];
  const token = { mid, secret, accepts: [op] };
  const client = await stage.open('tcp', token);
  await stage.pushMids(op, [mid], secret);
  await client.next();
  await client.request(Operation.Business, secret);
  const bad = await stage.connect('ws');
  bad.send({ op: Operation.Auth, body: Buffer.from(`{"secret":"${secret}"`) });
  await bad.end();
  await sleep(200);
  // The log is there, and what it must not have is not.
  expect(halley().process.output.split('\n').length).toBeGreaterThan(1);
  expect(halley().process.output).not.toContain(secret);
});

test('SIGTERM ends it within 10 s with status 0; clients are closed with a code, those of version 2 asked to go before', async () => {
  const own = await startHalley();
  const goim = await WsClient.connect(own.target.ws);
  await goim.auth({});
  const all = ([...TRANSPORTS, 'sse', 'poll'] as const).map((transport) =>
    Version2Client.connect(transport, own.target),
  );
  const clients = await Promise.all(all);
  for (const client of clients) await client.open('{}');
  own.process.signal('SIGTERM');
  const ends = clients.map(async (client) => {
    const { delayMs, closesInMs } = await client.told(OperationV2.Move, Move);
    expect(delayMs).toBeLessThan(closesInMs);
    // It is served until then.
    expect(await client.heartbeat()).toBe(0);
    const { code, last } = await client.end(10_000);
    expect(last).toMatchObject({ code: CloseCode.Draining, reconnect: true });
    expect(code).toBe(client.transport !== 'tcp' ? CloseCode.Draining : undefined);
    expect(client.breaches).toEqual([]);
  });
  expect((await goim.end(10_000)).code).toBe(CloseCode.Draining);
  await Promise.all(ends);
  // A second SIGTERM would end it at once.
  expect(await own.process.exited).toEqual({ code: 0, signal: null });
  await own.stop();
}, 60_000);

function halley(): StartedHalley {
  if (!started) throw new Error('the product did not start');
  return started;
}
