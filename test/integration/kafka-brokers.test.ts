import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { startKafkaBrokers } from '@halley/services/kafka';
import type { RunningService } from '@halley/services/running-service';
import { Topic } from '@halley/store/bus/bus';
import { type Admin, Kafka, logLevel } from 'kafkajs';

import { Tiers } from '../harness/tiers.js';
import { NO_TROUBLE, Traffic } from '../harness/traffic.js';
import { eventually } from '../harness/within.js';

/** Three brokers as in production: each topic on all of them, and two have to have a record before it is accepted. */
const REPLICAS = 3;
/** A push is answered within this, also while Kafka has no leader or too few replicas. */
const PRODUCE_TIMEOUT_MS = 3_000;
/** More than the brokers need to elect, a job to be given its partitions again, and the rest to go out. */
const CAUGHT_UP_MS = 60_000;

let dir: string;
let brokers: RunningService[];
let tiers: Tiers;
let traffic: Traffic;

beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-brokers-'));
  brokers = await startKafkaBrokers(REPLICAS, dir);
  tiers = await Tiers.start({
    brokers: brokers.map(({ address }) => address),
    nodes: { comet: 2, logic: 2, job: 1 },
    arguments: { logic: ['--bus.produceTimeoutMs', `${PRODUCE_TIMEOUT_MS}`] },
  });
  traffic = await Traffic.start(tiers, ['comet-1', 'comet-2'], ['logic-1', 'logic-2']);
}, 180_000);

afterAll(async () => {
  await traffic?.close();
  await tiers?.stop();
  await Promise.all((brokers ?? []).map((broker) => broker.stop(2_000)));
  await rm(dir, { recursive: true, force: true });
}, 60_000);

/** Of the pushes' topic: the broker that leads each partition, and those that are in sync. */
async function partitions(): Promise<{ leader: number; inSync: number[] }[]> {
  return withAdmin(async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [Topic.Push] });
    return (topics[0]?.partitions ?? []).map(({ leader, isr }) => ({ leader, inSync: isr }));
  });
}

async function withAdmin<Value>(ask: (admin: Admin) => Promise<Value>): Promise<Value> {
  const alive = brokers.filter((broker) => broker.alive).map(({ address }) => address);
  const admin = new Kafka({ brokers: alive, logLevel: logLevel.NOTHING, retry: { retries: 2 } }).admin();
  await admin.connect();
  try {
    return await ask(admin);
  } finally {
    await admin.disconnect();
  }
}

/** Whether every broker has every record again. */
async function allInSync(): Promise<boolean> {
  const found = await partitions().catch(() => []);
  return found.length > 0 && found.every(({ inSync }) => inSync.length === REPLICAS);
}

function broker(id: number): RunningService {
  const found = brokers[id - 1];
  if (!found) throw new Error(`there is no broker ${id}`);
  return found;
}

/** What was accepted before, and so many more. */
async function moreTaken(count: number, timeoutMs: number): Promise<number> {
  const before = traffic.taken;
  const now = await eventually(
    () => traffic.taken,
    (taken) => taken >= before + count,
    timeoutMs,
  );
  return now - before;
}

test('the leader of a partition is killed while pushes flow: nothing that was answered OK is lost, and all is in order', async () => {
  await moreTaken(100, 10_000);
  const before = await partitions();
  expect(new Set(before.map(({ leader }) => leader))).toEqual(new Set([1, 2, 3]));
  expect(await allInSync()).toBe(true);
  const killed = before[0]?.leader ?? 0;
  await broker(killed).kill();
  const after = await eventually(
    () => partitions().catch(() => []),
    (found) => found.length > 0 && found.every(({ leader }) => leader > 0 && leader !== killed),
    CAUGHT_UP_MS,
  );
  expect(after.map(({ leader }) => leader)).not.toContain(killed);
  expect(await moreTaken(300, 30_000)).toBeGreaterThanOrEqual(300);
  expect({ ...(await traffic.judge(CAUGHT_UP_MS)), failed: {} }).toEqual(NO_TROUBLE);
  // With two of three, all pushes are accepted again.
  traffic.forgive();
  await moreTaken(100, 10_000);
  expect(await traffic.judge(CAUGHT_UP_MS)).toEqual(NO_TROUBLE);
  await broker(killed).start();
  expect(await eventually(allInSync, Boolean, CAUGHT_UP_MS)).toBe(true);
  expect(await traffic.judge(CAUGHT_UP_MS)).toEqual(NO_TROUBLE);
}, 180_000);

test('two of three are down: no push is answered OK, and all are again when one of them is back', async () => {
  const [first, second] = [broker(1), broker(2)];
  await Promise.all([first.kill(), second.kill()]);
  // What was written on three just before may still be answered.
  await sleep(2 * PRODUCE_TIMEOUT_MS);
  const { taken } = traffic;
  await sleep(2 * PRODUCE_TIMEOUT_MS);
  expect(traffic.taken).toBe(taken);
  const { failed } = await traffic.judge(1_000);
  expect(Object.keys(failed).length).toBeGreaterThan(0);
  for (const why of Object.keys(failed)) expect(why).toMatch(/^(refused|unknown): /);
  await first.start();
  expect(await moreTaken(100, CAUGHT_UP_MS)).toBeGreaterThanOrEqual(100);
  expect({ ...(await traffic.judge(CAUGHT_UP_MS)), failed: {} }).toEqual(NO_TROUBLE);
  traffic.forgive();
  await moreTaken(100, 15_000);
  expect(await traffic.judge(CAUGHT_UP_MS)).toEqual(NO_TROUBLE);
}, 180_000);
