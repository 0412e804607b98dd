import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import type { GoimClient } from '../harness/goim-client.js';
import { HttpApi } from '../harness/http.js';
import { Logins } from '../harness/logins.js';
import { connectTo, NO_TROUBLE, Traffic } from '../harness/traffic.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';
import { zookeeperEntries } from '../harness/zookeeper.js';

/** The services break and come back while traffic flows; the tiers' processes stay. */
const NODES = ['comet-1', 'comet-2', 'logic-1', 'logic-2', 'job-1', 'job-2'];
/** Ten sessions. The variable may shorten it while one works on this, to no less than makes every session expire. */
const ZOOKEEPER_AWAY_MS = Math.min(
  60_000,
  Math.max(8_000, Number(process.env['HALLEY_TEST_ZOOKEEPER_AWAY_MS'] ?? 60_000)),
);
const SESSION_MS = 6_000;
const REDIS_AWAY_MS = 2_000;
const ARRIVES_WITHIN_MS = 10_000;
/** Kafka stays away for longer than a push is tried, so that there is an answer. */
const PRODUCE_TIMEOUT_MS = 2_000;
const KAFKA_AWAY_MS = 5_000;

let cluster: TestCluster;
let traffic: Traffic;
let pids: readonly (number | undefined)[];

beforeAll(async () => {
  cluster = await startCluster({ arguments: { logic: ['--bus.produceTimeoutMs', `${PRODUCE_TIMEOUT_MS}`] } });
  pids = pidsNow();
  traffic = await Traffic.start(cluster, ['comet-1', 'comet-2'], ['logic-1', 'logic-2']);
}, 120_000);

afterAll(async () => {
  await traffic?.close();
  await cluster?.stop();
}, 30_000);

function pidsNow(): (number | undefined)[] {
  return NODES.map((name) => cluster.cluster.node(name).pid);
}

/** The nodes that are not ready, with what they miss. */
async function unready(): Promise<string[]> {
  const answers = await Promise.all(
    NODES.map(async (name) => {
      const answer = await fetch(`http://${cluster.address(name, 'ops')}/readyz`);
      return answer.status === 200 ? [] : [`${name}: ${await answer.text()}`];
    }),
  );
  return answers.flat();
}

test(
  `ZooKeeper is away for ${ZOOKEEPER_AWAY_MS} ms: no push fails, clients come and go, and all nodes register again`,
  async () => {
    const { zookeeper } = cluster.services;
    const before = await zookeeperEntries(zookeeper.address);
    expect(before).toHaveLength(NODES.length);
    const logins = new Logins(cluster, ['comet-1', 'comet-2']);
    await zookeeper.kill();
    await sleep(ZOOKEEPER_AWAY_MS);
    expect(await traffic.judge()).toEqual(NO_TROUBLE);
    await zookeeper.start();
    const incarnations = before.map(({ path, record }) => [path, record.incarnation]);
    const owners = new Set(before.map(({ owner }) => owner));
    const entries = await eventually(
      () => zookeeperEntries(zookeeper.address),
      (now) => now.length === NODES.length && now.every(({ owner }) => !owners.has(owner)),
    );
    // The same processes, each in a new session.
    expect(entries.map(({ path, record }) => [path, record.incarnation])).toEqual(incarnations);
    expect(entries.filter(({ owner }) => owners.has(owner))).toEqual([]);
    expect(await eventually(unready, (nodes) => nodes.length === 0)).toEqual([]);
    // The sessions of before end now; that takes nobody away.
    await sleep(SESSION_MS + 1_000);
    expect((await zookeeperEntries(zookeeper.address)).map(({ path }) => path)).toEqual(
      entries.map(({ path }) => path),
    );
    await logins.stop();
    expect(logins.failed).toEqual([]);
    expect(await traffic.judge()).toEqual(NO_TROUBLE);
  },
  ZOOKEEPER_AWAY_MS + 90_000,
);

test('Redis is restarted empty: pushes to every user, key and room arrive again within 10 s', async () => {
  const { redis } = cluster.services;
  const op = newOp();
  const rooms = [0, 1, 2, 3].map(() => newRoom());
  const users = await Promise.all(
    Array.from({ length: 40 }, async (_, index) => {
      const [mid, key, room] = [newMid(), newKey(), rooms[index % rooms.length]];
      const client = await connectTo(cluster, `comet-${1 + (index % 2)}`, index % 4 < 2 ? 'tcp' : 'ws');
      await client.auth({ mid, key, room_id: room?.id, accepts: [op] });
      return { mid, key, client };
    }),
  );
  await redis.kill();
  await sleep(REDIS_AWAY_MS);
  await redis.start();
  const since = performance.now();
  const api = new HttpApi(`http://${cluster.address('logic-1', 'http')}`);
  /** One push of each kind to everybody; only what is pushed from now on is counted. */
  const pushToAll = async (): Promise<void> => {
    await api.post('/goim/push/mids', { operation: op, mids: users.map(({ mid }) => mid) }, 'to the user');
    await api.post('/goim/push/keys', { operation: op, keys: users.map(({ key }) => key) }, 'to the key');
    for (const { type, room } of rooms)
      await api.post('/goim/push/room', { operation: op, type, room }, 'to the room');
  };
  const missing = (): string[] =>
    users.flatMap(({ client }, index) => {
      const got = kindsOf(client);
      return ['to the user', 'to the key', 'to the room']
        .filter((kind) => !got.has(kind))
        .map((kind) => `${index} ${kind}`);
    });
  while (missing().length > 0 && performance.now() - since < ARRIVES_WITHIN_MS) {
    await pushToAll();
    await sleep(250);
  }
  expect(missing()).toEqual([]);
  // And from now on everything arrives, to those of the traffic too.
  traffic.forgive();
  for (const { client } of users) client.close();
  api.close();
  await sleep(1_000);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
}, 60_000);

function kindsOf(client: GoimClient): Set<string> {
  return new Set(client.waiting.map(({ body }) => body.toString()));
}

test('Kafka is killed and comes back: what was answered with OK arrives, once and in order', async () => {
  const { kafka } = cluster.services;
  await kafka.kill();
  await sleep(KAFKA_AWAY_MS);
  const during = await traffic.judge(1_000);
  expect(Object.keys(during.failed).length).toBeGreaterThan(0);
  for (const why of Object.keys(during.failed)) expect(why).toMatch(/^(refused|unknown): /);
  await kafka.start();
  const { taken } = traffic;
  expect(
    await eventually(
      () => traffic.taken,
      (now) => now > taken + 100,
    ),
  ).toBeGreaterThan(taken + 100);
  const after = await traffic.judge(30_000);
  expect({ ...after, failed: {} }).toEqual(NO_TROUBLE);
  // From now on nothing fails any more either.
  traffic.forgive();
  const later = traffic.taken;
  await eventually(
    () => traffic.taken,
    (now) => now > later + 100,
  );
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
  expect(await eventually(unready, (nodes) => nodes.length === 0)).toEqual([]);
}, 90_000);

test('no process of the tiers ended over all that', () => {
  expect(pidsNow()).toEqual(pids);
});
