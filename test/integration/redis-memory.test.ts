import { randomBytes } from 'node:crypto';

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { busConfig } from '@halley/store/bus/config';
import { Redis } from 'ioredis';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { unary } from '../harness/grpc.js';
import { HttpApi } from '../harness/http.js';
import { metric } from '../harness/metrics.js';
import { pushClient } from '../harness/pushers.js';
import { connectTo } from '../harness/traffic.js';
import { newKey, newMid, newOp } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** One body to as many users as a push may have: it is to be held once for each shard, not for each user. */
const USERS = 10_000;
const BODY_BYTES = 100 * 1_024;
const LIMIT_BYTES = 16 * 1_048_576;
/** Of the users, so many are devices of a test that come back. */
const DEVICES = 6;
const SHARDS = busConfig.parse({}).partitions;

let cluster: TestCluster;
let redis: Redis;

beforeAll(async () => {
  cluster = await startCluster({ comets: 1, logics: 1, jobs: 1 });
  const { host, port } = cluster.services.redis;
  redis = new Redis(port, host);
}, 120_000);

afterAll(async () => {
  redis?.disconnect();
  await cluster?.stop();
}, 20_000);

async function usedBytes(): Promise<number> {
  return Number(/^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1]);
}

/** Shards of which Redis knows something: in the beginning job asks the archive where each begins. */
async function knownShards(): Promise<number> {
  return (await redis.keys('*:s:state')).length;
}

/** Entries that Redis holds, of all users. */
async function heldEntries(): Promise<number> {
  const streams = await redis.keys('*:s:e:*');
  const pipeline = redis.pipeline();
  for (const stream of streams) pipeline.zcard(stream);
  const counts = (await pipeline.exec()) ?? [];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

test(`a body of 100 KB to ${USERS} users takes less than 16 MB of Redis, pushed over gRPC and over HTTP`, async () => {
  const op = newOp();
  const mids = Array.from({ length: USERS }, newMid);
  const devices = mids.slice(0, DEVICES).map((mid) => ({ mid, key: newKey() }));
  for (const { mid, key } of devices) {
    const client = await connectTo(cluster, 'comet-1', 'tcp');
    await client.auth({ mid, key, accepts: [op] });
    client.close();
  }
  const connections = () =>
    metric(cluster.address('comet-1', 'ops'), 'halley_comet_authenticated_connections');
  expect(await eventually(connections, (count) => count === 0)).toBe(0);

  expect(await eventually(knownShards, (count) => count === SHARDS)).toBe(SHARDS);

  // Nothing is archived, so nothing is trimmed: all that was pushed is held.
  cluster.services.mariadb.pause();
  const bodies = [randomBytes(BODY_BYTES), randomBytes(BODY_BYTES)];
  const before = await usedBytes();
  const grpc = pushClient(cluster.address('logic-1', 'grpc'));
  await unary(grpc.Push.bind(grpc), {
    target: { users: { mids: mids.map(String) } },
    operation: op,
    body: bodies[0]!,
  });
  grpc.close();
  expect(await eventually(heldEntries, (count) => count >= USERS, 30_000)).toBe(USERS);
  const first = await usedBytes();
  expect(first - before).toBeLessThan(LIMIT_BYTES);

  const http = new HttpApi(`http://${cluster.address('logic-1', 'http')}`);
  const answer = await http.post('/goim/push/mids', { operation: op, mids }, bodies[1]);
  expect(answer.text).toBe('{"code":0,"message":""}');
  http.close();
  expect(await eventually(heldEntries, (count) => count >= 2 * USERS, 30_000)).toBe(2 * USERS);
  expect((await usedBytes()) - first).toBeLessThan(LIMIT_BYTES);

  for (const { mid, key } of devices) {
    const client = await connectTo(cluster, 'comet-1', 'tcp');
    await client.auth({ mid, key, accepts: [op] });
    expect((await client.take(2)).map(({ body }) => bodies.findIndex((one) => one.equals(body)))).toEqual([
      0, 1,
    ]);
    client.close();
  }

  // Archived, they are not held any more.
  cluster.services.mariadb.resume();
  expect(await eventually(heldEntries, (count) => count === 0, 30_000)).toBe(0);
}, 150_000);
