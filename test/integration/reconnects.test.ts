import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';

import { COLLECTABLE, collectGarbage } from '../harness/collect-garbage.js';
import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient, Transport } from '../harness/goim-client.js';
import { unary } from '../harness/grpc.js';
import { metric } from '../harness/metrics.js';
import { GrpcPusher, pushClient } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** Connections that come and go in masses: nothing of them stays behind, and everybody is reached at the end. */
const RECONNECTS = Number(process.env['HALLEY_TEST_RECONNECTS'] ?? 1_000);
const CLIENTS = Number(process.env['HALLEY_TEST_DROPPED_CLIENTS'] ?? 1_500);
/** Of one key, so many are under way at once. */
const AT_ONCE = 8;
/** Clients that come for the first time: so many at once. */
const FIRST_AT_ONCE = 200;
const COMETS = ['comet-1', 'comet-2'];
/** What the comets may hold more: warmer code, and little for each connection. A session that stays takes several times that. */
const HEAP_SLACK_BYTES = 12 * 1_048_576 + RECONNECTS * 1_024;
const DESCRIPTOR_SLACK = 50;
const REDIS_KEY_SLACK = 100;

let cluster: TestCluster;
let pusher: GrpcPusher;
let redis: Redis;
const clients = new Set<GoimClient>();

beforeAll(async () => {
  // The nodes have the environment of this process.
  process.env['NODE_OPTIONS'] = COLLECTABLE;
  cluster = await startCluster({ comets: 2, logics: 1, jobs: 1 });
  pusher = new GrpcPusher([cluster.address('logic-1', 'grpc')]);
  const { host, port } = cluster.services.redis;
  redis = new Redis(port, host);
}, 120_000);

afterEach(() => {
  for (const client of clients) client.close();
  clients.clear();
});

afterAll(async () => {
  pusher?.close();
  redis?.disconnect();
  await cluster?.stop();
}, 30_000);

async function open(comet: string, transport: Transport, token: object): Promise<GoimClient> {
  const client = await connectTo(cluster, comet, transport);
  clients.add(client);
  await client.auth(token);
  return client;
}

/** A metric's sum over both comets. */
async function ofComets(name: string): Promise<number> {
  const values = await Promise.all(COMETS.map((comet) => metric(cluster.address(comet, 'ops'), name)));
  return values.reduce((sum, value) => sum + value, 0);
}

/** What the comets' heaps hold, without garbage. */
async function heapBytes(): Promise<number> {
  await Promise.all(COMETS.map((comet) => collectGarbage(cluster.cluster.node(comet))));
  return ofComets('nodejs_heap_size_used_bytes');
}

async function levels() {
  return {
    connections: await ofComets('halley_comet_connections'),
    sessions: await ofComets('halley_comet_authenticated_connections'),
    rooms: await ofComets('halley_comet_rooms'),
    descriptors: await ofComets('process_open_fds'),
    redisKeys: await redis.dbsize(),
  };
}

/** The user's connections as logic tells them: each key, and the gRPC address of its comet. */
async function routesOf(mid: bigint): Promise<{ key: string; grpc: string | undefined }[]> {
  const client = pushClient(cluster.address('logic-1', 'grpc'));
  try {
    const { users } = await unary(client.GetPresence.bind(client), { mids: [mid.toString()] });
    const { nodes } = await unary(client.ListNodes.bind(client), { tier: 'comet' });
    return (users[0]?.connections ?? []).map(({ key, node }) => ({
      key,
      grpc: nodes.find(({ id }) => id === node)?.addresses['grpc'],
    }));
  } finally {
    client.close();
  }
}

test(
  `one key that connects ${RECONNECTS} times at both comets leaves one route, is reached by it, and nothing else of it stays`,
  async () => {
    const [mid, key, op] = [newMid(), newKey(), newOp()];
    const token = { mid, key, room_id: newRoom().id, accepts: [op] };
    const [before, heapBefore] = [await levels(), await heapBytes()];
    let turn = 0;
    let letIn = 0;
    const comeAndGo = async (): Promise<void> => {
      while (turn < RECONNECTS) {
        const at = (turn += 1);
        const comet = COMETS[at % 2]!;
        // Another one of the key may have come in the meantime: then this one is closed instead of let in.
        const client = await open(comet, at % 4 < 2 ? 'tcp' : 'ws', token).catch(() => undefined);
        if (!client) continue;
        letIn += 1;
        // Some leave by themselves, some are taken over.
        if (at % 3 === 0) client.close();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, comeAndGo));
    expect(letIn).toBeGreaterThan(RECONNECTS / AT_ONCE);
    const last = await open('comet-2', 'tcp', token);
    // All the others come to an end.
    await Promise.all([...clients].filter((client) => client !== last).map((client) => client.end(30_000)));
    expect(await routesOf(mid)).toEqual([{ key, grpc: cluster.address('comet-2', 'grpc') }]);
    expect(await pusher.push({ key }, op, 'to the key')).toEqual({ outcome: 'ok' });
    expect(await pusher.push({ mid }, op, 'to the user')).toEqual({ outcome: 'ok' });
    expect((await last.take(2)).map(({ body }) => body.toString())).toEqual(['to the key', 'to the user']);
    expect(last.waiting).toEqual([]);

    const settled = await eventually(
      levels,
      ({ connections, sessions, descriptors }) =>
        connections === before.connections + 1 &&
        sessions === before.sessions + 1 &&
        descriptors <= before.descriptors + DESCRIPTOR_SLACK,
      20_000,
    );
    expect(settled).toMatchObject({ connections: before.connections + 1, sessions: before.sessions + 1 });
    expect(settled.descriptors).toBeLessThanOrEqual(before.descriptors + DESCRIPTOR_SLACK);
    expect((await heapBytes()) - heapBefore).toBeLessThan(HEAP_SLACK_BYTES);
    expect(settled.redisKeys).toBeLessThan(before.redisKeys + REDIS_KEY_SLACK);
    // It is the one that is there also when routes were renewed.
    last.close();
    expect(
      await eventually(
        () => routesOf(mid),
        (routes) => routes.length === 0,
      ),
    ).toEqual([]);
    const left = await eventually(levels, ({ sessions }) => sessions === before.sessions);
    expect(left).toMatchObject({ connections: before.connections, sessions: before.sessions });
  },
  60_000 + RECONNECTS * 20,
);

/** A comet closes a connection that is not let in within 8 s. */
const LET_IN_MS = 10_000;
/** They come back as clients do: each after a pause of random length, and again after a longer one. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 8_000;
const ALL_IN_MS = 120_000;

interface Device {
  readonly mid: bigint;
  readonly key: string;
  client: GoimClient | undefined;
}

/** Connects until it is let in. */
async function comeIn(device: Device, index: number, op: number): Promise<void> {
  const { mid, key } = device;
  const until = performance.now() + ALL_IN_MS;
  for (let tries = 0; performance.now() < until; tries += 1) {
    const client = await connectTo(cluster, COMETS[(index + tries) % 2]!, 'tcp').catch(() => undefined);
    if (client) {
      clients.add(client);
      const isIn = await client.auth({ mid, key, accepts: [op] }, LET_IN_MS).then(
        () => true,
        () => false,
      );
      if (isIn) {
        device.client = client;
        return;
      }
      client.close();
      clients.delete(client);
    }
    await sleep(Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries) * Math.random());
  }
  throw new Error(`a client was not let in within ${ALL_IN_MS} ms`);
}

/** Devices that were not sent this on the connection that they have, or not as the last. */
async function lacking(devices: readonly Device[], body: string): Promise<number> {
  return eventually(
    () => devices.filter(({ client }) => client?.waiting.at(-1)?.body.toString() !== body).length,
    (count) => count === 0,
    30_000,
    100,
  );
}

test(`${CLIENTS} clients that are dropped at once come back at once, and have what was pushed meanwhile and what comes next`, async () => {
  const op = newOp();
  const devices: Device[] = Array.from({ length: CLIENTS }, () => ({
    mid: newMid(),
    key: newKey(),
    client: undefined,
  }));
  for (let first = 0; first < CLIENTS; first += FIRST_AT_ONCE)
    await Promise.all(
      devices.slice(first, first + FIRST_AT_ONCE).map((device, index) => comeIn(device, first + index, op)),
    );
  const users = { mids: devices.map(({ mid }) => mid) };
  expect(await pusher.push(users, op, 'before')).toEqual({ outcome: 'ok' });
  expect(await lacking(devices, 'before')).toBe(0);

  for (const { client } of devices) client?.close();
  clients.clear();
  expect(await pusher.push(users, op, 'meanwhile')).toEqual({ outcome: 'ok' });
  await Promise.all(devices.map((device, index) => comeIn(device, index, op)));
  expect(await lacking(devices, 'meanwhile')).toBe(0);
  expect(await pusher.push(users, op, 'after')).toEqual({ outcome: 'ok' });
  expect(await lacking(devices, 'after')).toBe(0);
  // What was sent before they were dropped may be sent again.
  const seen = new Set(
    devices.map(({ client }) => (client?.waiting ?? []).map(({ body }) => body.toString()).join()),
  );
  seen.delete('before,meanwhile,after');
  seen.delete('meanwhile,after');
  expect([...seen]).toEqual([]);
  const connected = await eventually(
    () => ofComets('halley_comet_connections'),
    (count) => count === CLIENTS,
  );
  expect(connected).toBe(CLIENTS);
}, 240_000);
