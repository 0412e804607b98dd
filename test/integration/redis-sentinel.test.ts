import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startKafka } from '@halley/services/kafka';
import { startRedis, startSentinel } from '@halley/services/redis';
import type { RunningService } from '@halley/services/running-service';
import { Redis } from 'ioredis';

import { metric } from '../harness/metrics.js';
import { Tiers } from '../harness/tiers.js';
import { connectTo, NO_TROUBLE, Traffic } from '../harness/traffic.js';
import { newKey, newMid } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

const MASTER = 'halley-test';
const PASSWORD = 'halley-secret';
const DATABASE = 2;
const SENTINELS = 3;
const QUORUM = 2;
/** What comes within this is on the master alone when it is killed. */
const REPLICA_LACKS_MS = 1_500;
const FAILED_OVER_MS = 20_000;

let dir: string;
const services: RunningService[] = [];
let master: RunningService;
let replica: RunningService;
let sentinels: RunningService[];
let tiers: Tiers;
let traffic: Traffic;

async function started(starting: Promise<RunningService>): Promise<RunningService> {
  const service = await starting;
  services.push(service);
  return service;
}

async function withRedis<Value>(
  { port }: RunningService,
  ask: (redis: Redis) => Promise<Value>,
): Promise<Value> {
  const redis = new Redis(port, '127.0.0.1', {
    password: PASSWORD,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  redis.on('error', () => undefined);
  try {
    return await ask(redis);
  } finally {
    redis.disconnect();
  }
}

/** Empty while it answers nothing: a sentinel that gives it another role ends its connections. */
async function replicationOf(redis: RunningService): Promise<string> {
  return withRedis(redis, (connection) => connection.info('replication')).catch(() => '');
}

/** A field of what a sentinel knows of the master. */
async function known(sentinel: RunningService, field: string): Promise<string> {
  const fields = (await withRedis(sentinel, (redis) => redis.call('SENTINEL', 'MASTER', MASTER))) as string[];
  return fields[fields.indexOf(field) + 1] ?? '';
}

/** Whether all sentinels know the replica and each other: from then on they can fail over. */
async function areReady(): Promise<boolean> {
  const answers = await Promise.all(
    sentinels.map(
      async (sentinel) =>
        (await known(sentinel, 'num-slaves')) === '1' &&
        (await known(sentinel, 'num-other-sentinels')) === String(SENTINELS - 1),
    ),
  );
  return answers.every(Boolean);
}

beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-sentinel-'));
  const kafka = started(startKafka({ dir: path.join(dir, 'kafka') }));
  master = await started(startRedis({ dir: path.join(dir, 'redis-1'), password: PASSWORD }));
  replica = await started(
    startRedis({ dir: path.join(dir, 'redis-2'), replicaOf: master.port, password: PASSWORD }),
  );
  expect(
    await eventually(
      () => replicationOf(master),
      (info) => info.includes('state=online'),
      20_000,
      100,
    ),
  ).toContain('state=online');
  sentinels = await Promise.all(
    Array.from({ length: SENTINELS }, (_, at) =>
      started(
        startSentinel({
          dir: path.join(dir, `sentinel-${at}`),
          name: MASTER,
          masterPort: master.port,
          quorum: QUORUM,
          password: PASSWORD,
        }),
      ),
    ),
  );
  expect(await eventually(areReady, Boolean, 30_000)).toBe(true);
  tiers = await Tiers.start({
    brokers: [(await kafka).address],
    redis: [
      `--routes.sentinels=${sentinels.map(({ address }) => address).join(',')}`,
      `--routes.sentinelName=${MASTER}`,
      `--routes.sentinelPassword=${PASSWORD}`,
      // Where nobody listens: the sentinels know where.
      `--routes.url=redis://:${PASSWORD}@127.0.0.1:1/${DATABASE}`,
    ],
    nodes: { comet: 2, logic: 2, job: 1 },
  });
  traffic = await Traffic.start(tiers, ['comet-1', 'comet-2'], ['logic-1', 'logic-2']);
}, 180_000);

afterAll(async () => {
  await traffic?.close();
  await tiers?.stop();
  await Promise.all(services.map((service) => service.stop(2_000)));
  await rm(dir, { recursive: true, force: true });
}, 60_000);

const rewinds = (): Promise<number> =>
  metric(tiers.address('job-1', 'ops'), 'halley_job_rewinds_total', /why="behind"/);

async function moreTaken(count: number): Promise<void> {
  const before = traffic.taken;
  expect(
    await eventually(
      () => traffic.taken - before,
      (more) => more >= count,
    ),
  ).toBeGreaterThanOrEqual(count);
}

test('the master is killed while pushes flow: what its replica lacked is taken in again, and all arrive once and in order', async () => {
  await moreTaken(100);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);
  const before = await rewinds();

  // The replica loses its master a moment earlier than everybody else.
  await withRedis(replica, (redis) => redis.config('SET', 'masterauth', 'not-the-password'));
  await withRedis(master, (redis) => redis.call('CLIENT', 'KILL', 'TYPE', 'replica'));
  await sleep(REPLICA_LACKS_MS);
  expect(await replicationOf(replica)).toContain('master_link_status:down');
  await master.kill();

  const role = await eventually(
    () => replicationOf(replica),
    (info) => info.includes('role:master'),
    FAILED_OVER_MS,
  );
  expect(role).toContain('role:master');
  await moreTaken(200);
  expect(await traffic.judge(30_000)).toEqual(NO_TROUBLE);
  expect(await rewinds()).toBeGreaterThan(before);

  // The former master comes back as the replica of the new one, and nobody takes it for the master.
  await master.start();
  const rejoined = await eventually(
    () => replicationOf(master),
    (info) => info.includes('role:slave') && info.includes('master_link_status:up'),
    FAILED_OVER_MS,
  );
  expect(rejoined).toContain(`master_port:${replica.port}`);
  await moreTaken(100);
  expect(await traffic.judge()).toEqual(NO_TROUBLE);

  expect(await withRedis(replica, (redis) => redis.info('keyspace'))).toMatch(
    new RegExp(`^db${DATABASE}:keys=`, 'm'),
  );

  // Who comes now gets in.
  const client = await connectTo(tiers, 'comet-1', 'tcp');
  await client.auth({ mid: newMid(), key: newKey() });
  client.close();
}, 120_000);
