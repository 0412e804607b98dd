import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Relay } from '@halley/bench/faults/relay';
import { freePort } from '@halley/services/free-port';
import { startRedis } from '@halley/services/redis';
import type { RunningService } from '@halley/services/running-service';
import { Topic, type Bus, type BusConsumer } from '@halley/store/bus/bus';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { Redis } from 'ioredis';

import { partitionsOf, record, sink, text, until } from '../../packages/store/src/bus/contract-fixture.js';
import { type RedisBusShape, startRedisBus } from '../harness/redis-bus.js';
import { eventually } from '../harness/within.js';

/** What the bus in Redis does of its own, beyond the contract: leases, failovers, restarts, lost data, no room. */
const TOPIC = 'pushes';
const GROUP = 'readers';
const SKIPPED = 2 ** 24;

let dir: string;
let redis: RunningService;
const opened: { stop(deadlineMs: number): Promise<void> }[] = [];

beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-bus-redis-'));
  redis = await startRedis({ dir: path.join(dir, 'redis'), appendOnly: true });
});
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.stop(1_000);
});
afterAll(async () => {
  await redis.stop();
  await rm(dir, { recursive: true, force: true });
});

async function open(shape: Partial<RedisBusShape> = {}) {
  const bus = await startRedisBus({ address: redis.address, topics: [TOPIC], ...shape });
  opened.push(bus);
  return bus;
}

async function join(bus: Bus, handlers: Partial<Parameters<Bus['consume']>[0]> = {}): Promise<BusConsumer> {
  const consumer = await bus.consume({ group: GROUP, topics: [TOPIC], onBatch: async () => {}, ...handlers });
  opened.push(consumer);
  return consumer;
}

async function ask<Answer>(address: string, question: (redis: Redis) => Promise<Answer>): Promise<Answer> {
  const client = new Redis(`redis://${address}`, { maxRetriesPerRequest: 0 });
  client.on('error', () => undefined);
  try {
    return await question(client);
  } finally {
    client.disconnect();
  }
}

/** Everything that a partition has, by a group of its own. */
async function contentOf(bus: Bus, partition = 0, group: string = randomUUID()): Promise<string[]> {
  const seen: string[] = [];
  let high = Infinity;
  let behind = 0;
  await bus.produce(TOPIC, [record(partition, 'end')]);
  const consumer = await bus.consume({
    group,
    topics: [TOPIC],
    onBatch: async (batch) => {
      if (batch.partition !== partition) return;
      seen.push(...batch.records.map(({ value }) => text(value)));
      high = batch.highWatermark;
      behind = (batch.records.at(-1)?.offset ?? 0) + 1;
    },
  });
  await until(() => behind >= high);
  await consumer.stop(1_000);
  expect(seen.pop()).toBe('end');
  return seen;
}

describe('a produce', () => {
  test('whose answers were late is written once, however often it was sent', async () => {
    const bus = await open({ redis: { keyPrefix: `${randomUUID()}:`, commandTimeoutMs: 100 } });
    await bus.produce(TOPIC, [record(0, 'before')]);
    redis.pause();
    const late = bus.produce(TOPIC, [record(0, 'late'), record(0, 'late too')]);
    await sleep(700);
    redis.resume();
    expect(await late).toMatchObject([{ offset: 1 }, { offset: 2 }]);
    expect(await contentOf(bus)).toEqual(['before', 'late', 'late too']);
  });

  test('that is never answered is unknown, and comes before what is produced next, or not at all', async () => {
    const bus = await open({
      bus: { produceTimeoutMs: 300 },
      redis: { keyPrefix: `${randomUUID()}:`, commandTimeoutMs: 100 },
    });
    redis.pause();
    await expect(bus.produce(TOPIC, [record(0, 'maybe')])).rejects.toMatchObject({ code: 'bus_unknown' });
    redis.resume();
    await eventually(
      () => bus.produce(TOPIC, [record(0, 'next')]).catch(() => undefined),
      (written) => written !== undefined,
    );
    expect(['maybe,next', 'next']).toContain(String(await contentOf(bus)));
  });

  test('while Redis is down is refused; what was answered before is there again, and no offset is given twice', async () => {
    const shape = { keyPrefix: `${randomUUID()}:`, bus: { produceTimeoutMs: 500 } };
    const bus = await open(shape);
    const { epoch } = bus;
    await bus.produce(TOPIC, [record(0, 'a'), record(0, 'b')]);
    await redis.kill();
    await until(() => !bus.healthy());
    await expect(bus.produce(TOPIC, [record(0, 'refused')])).rejects.toMatchObject({ code: 'bus_refused' });
    await redis.start();
    await until(() => bus.healthy());
    expect(await bus.produce(TOPIC, [record(0, 'c')])).toEqual([{ partition: 0, offset: 2 + SKIPPED }]);
    expect(await bus.produce(TOPIC, [record(0, 'd')])).toEqual([{ partition: 0, offset: 3 + SKIPPED }]);
    expect(await bus.lag('nobody', TOPIC)).toBe(4);
    expect(await contentOf(bus)).toEqual(['a', 'b', 'c', 'd']);
    expect((await open(shape)).epoch).toBe(epoch);
  });

  test('is answered only when the replicas have it that are asked for', async () => {
    const replica = await startRedis({ replicaOf: redis.port });
    opened.push(replica);
    const bus = await open({
      bus: { produceTimeoutMs: 400 },
      redis: { keyPrefix: `${randomUUID()}:`, replicas: 1, replicaTimeoutMs: 100 },
    });
    await eventually(
      () => bus.produce(TOPIC, [record(1, 'x')]).catch(() => undefined),
      (written) => written !== undefined,
    );
    replica.pause();
    await expect(bus.produce(TOPIC, [record(0, 'alone')])).rejects.toMatchObject({ code: 'bus_unknown' });
    replica.resume();
    expect(await bus.produce(TOPIC, [record(0, 'both')])).toEqual([{ partition: 0, offset: 1 }]);
  });
});

test('after a failover to a replica that lacked the newest records their offsets are not given again', async () => {
  const master = await startRedis({ appendOnly: true });
  const replica = await startRedis({ appendOnly: true, replicaOf: master.port });
  opened.push(master, replica);
  const keyPrefix = `${randomUUID()}:`;
  const before = await open({ address: master.address, keyPrefix });
  await before.produce(TOPIC, [record(0, 'a'), record(0, 'b')]);
  await eventually(
    () => ask(replica.address, (client) => client.hget(`${keyPrefix}bus:{${TOPIC}/0}:state`, 'next')),
    (next) => next === '2',
  );
  // The replica loses its master a moment earlier than everybody else.
  await ask(replica.address, (client) => client.replicaof('127.0.0.1', 1));
  expect(await before.produce(TOPIC, [record(0, 'lost')])).toEqual([{ partition: 0, offset: 2 }]);
  await master.kill();
  await ask(replica.address, (client) => client.replicaof('NO', 'ONE'));
  const after = await open({ address: replica.address, keyPrefix });
  const [written] = await after.produce(TOPIC, [record(0, 'c')]);
  expect(written?.offset).toBeGreaterThan(SKIPPED);
  expect(await contentOf(after)).toEqual(['a', 'b', 'c']);
});

describe('data that is gone', () => {
  test('stops a bus that runs, and the next start begins under another epoch', async () => {
    const lonely = await startRedis({ appendOnly: true });
    opened.push(lonely);
    let lost = 0;
    const shape = { address: lonely.address, keyPrefix: 'x:', onLost: () => (lost += 1) };
    const bus = await open(shape);
    const { epoch } = bus;
    await join(bus);
    await bus.produce(TOPIC, [record(0, 'a')]);
    await ask(lonely.address, (client) => client.flushall());
    await until(() => lost === 1);
    expect(bus.healthy()).toBe(false);
    await expect(bus.produce(TOPIC, [record(0, 'b')])).rejects.toMatchObject({ code: 'bus_refused' });
    const next = await open(shape);
    expect(next.epoch).not.toBe(epoch);
    expect(await next.produce(TOPIC, [record(0, 'c')])).toEqual([{ partition: 0, offset: 0 }]);
  });

  test('of one partition leaves what the others have, under another epoch', async () => {
    const keyPrefix = `${randomUUID()}:`;
    const bus = await open({ keyPrefix });
    const { epoch } = bus;
    await bus.produce(TOPIC, [record(0, 'gone'), record(1, 'stays')]);
    await bus.stop(1_000);
    const keys = ['state', 'log', 'producers'].map((kind) => `${keyPrefix}bus:{${TOPIC}/0}:${kind}`);
    await ask(redis.address, (client) => client.del(keys));
    const next = await open({ keyPrefix });
    expect(next.epoch).not.toBe(epoch);
    expect([await contentOf(next, 0), await contentOf(next, 1)]).toEqual([[], ['stays']]);
  });

  const partition = ['state', 'log', 'producers'].map((kind) => `bus:{${TOPIC}/0}:${kind}`);
  test.each([
    ['of one partition', partition],
    [
      'of one partition, and what the bus knows of itself',
      [...partition, 'bus:{bus}:meta', `bus:{bus}:groups:${TOPIC}`],
    ],
  ])('%s: what is written there afterwards is read, whatever groups had committed', async (_what, gone) => {
    const keyPrefix = `[${randomUUID()}]*:`;
    const bus = await open({ keyPrefix });
    for (let count = 0; count < 5; count += 1) await bus.produce(TOPIC, [record(0, `old ${count}`)]);
    const first = await join(bus);
    await until(() => first.assigned().length > 0);
    await first.commit(TOPIC, 0, 5);
    await bus.stop(1_000);
    const keys = gone.map((key) => keyPrefix + key);
    expect(await ask(redis.address, (client) => client.del(keys))).toBe(keys.length);
    const next = await open({ keyPrefix, redis: { keyPrefix, committedRetentionMs: 0 } });
    expect(await next.produce(TOPIC, [record(0, 'new')])).toEqual([{ partition: 0, offset: 5 + SKIPPED }]);
    expect(await next.lag(GROUP, TOPIC)).toBe(1);
    await next.trim();
    const seen = sink();
    const second = await join(next, { onBatch: seen.onBatch });
    await until(() => seen.records.length > 0);
    expect(seen.texts()).toEqual(['new']);
    await second.commit(TOPIC, 0, 6 + SKIPPED);
    expect(await next.lag(GROUP, TOPIC)).toBe(0);
  });
});

describe('leases', () => {
  test('a member that is cut off gives up in time, another goes on, and what the first commits then does nothing', async () => {
    const relay = await Relay.open(redis.address);
    opened.push({ stop: () => relay.close() });
    const shape = {
      bus: { sessionTimeoutMs: 1_000, heartbeatMs: 100 },
      redis: { keyPrefix: `${randomUUID()}:`, commandTimeoutMs: 200 },
    };
    const near = await open(shape);
    const cut = await open({ ...shape, address: relay.address });
    await near.produce(TOPIC, [record(0, 'a'), record(0, 'b')]);
    const held = sink();
    const revoked: number[] = [];
    const first = await join(cut, {
      onBatch: held.onBatch,
      onRevoked: (partitions) => revoked.push(...partitions.map(({ partition }) => partition)),
    });
    await until(() => held.records.length === 2);
    relay.cut();
    const late = first.commit(TOPIC, 0, 2);
    const seen = sink();
    const second = await join(near, { onBatch: seen.onBatch });
    expect(second.assigned()).toEqual([]);
    await until(() => second.assigned().length === 6);
    expect(revoked.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5]);
    expect([first.healthy(), first.assigned()]).toEqual([false, []]);
    await late;
    await until(() => seen.records.length === 2);
    await second.commit(TOPIC, 0, 1);
    relay.mend();
    await until(() => first.assigned().length === 3 && second.assigned().length === 3);
    expect(await near.lag(GROUP, TOPIC)).toBe(1);
  });

  test('hold while Redis is away for longer than they last: everybody keeps what it had', async () => {
    const own = await startRedis({ dir: path.join(dir, 'leases'), appendOnly: true, port: await freePort() });
    opened.push(own);
    const shape = {
      address: own.address,
      bus: { sessionTimeoutMs: 1_000, heartbeatMs: 100 },
      redis: { keyPrefix: 'k:', commandTimeoutMs: 200 },
    };
    const members = [await join(await open(shape)), await join(await open(shape))];
    const owned = (): number[][] => members.map((member) => partitionsOf(member.assigned()));
    await until(() => members.every((member) => member.assigned().length === 3));
    const before = owned();
    own.pause();
    await until(() => members.every((member) => !member.healthy()));
    await sleep(300);
    own.resume();
    await until(() => members.every((member) => member.assigned().length === 3));
    expect(owned()).toEqual(before);
  });

  test('a member that leaves hands over at once', async () => {
    const bus = await open({ bus: { sessionTimeoutMs: 30_000, heartbeatMs: 10_000 } });
    const [first, second] = [await join(bus), await join(bus)];
    await until(() => second.assigned().length === 3);
    const start = performance.now();
    await first.stop(1_000);
    await until(() => second.assigned().length === 6, 5);
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

describe('room', () => {
  const tight = { maxPartitionRecords: 16, committedRetentionMs: 3_600_000 };

  test('that is taken by what a group has not read refuses more, until it has', async () => {
    const bus = await open({ redis: { keyPrefix: `${randomUUID()}:`, ...tight } });
    const consumer = await join(bus);
    for (let count = 0; count < 16; count += 1) await bus.produce(TOPIC, [record(0, `${count}`)]);
    const more = (): Promise<unknown> => bus.produce(TOPIC, [record(0, 'more')]);
    await expect(more()).rejects.toMatchObject({ code: 'overloaded' });
    await bus.trim();
    await expect(more()).rejects.toMatchObject({ code: 'overloaded' });
    await bus.produce(TOPIC, [record(1, 'elsewhere')]);
    await consumer.commit(TOPIC, 0, 10);
    expect(await more()).toEqual([{ partition: 0, offset: 16 }]);
    await consumer.stop(0);
    expect(await contentOf(bus, 0, GROUP)).toEqual(['10', '11', '12', '13', '14', '15', 'more']);
  });

  test('is not made of pushes while no group is there yet, but of what nobody reads', async () => {
    const topics = [TOPIC, Topic.Receive];
    const bus = await open({ topics, redis: { keyPrefix: `${randomUUID()}:`, ...tight } });
    const fill = async (topic: string): Promise<void> => {
      for (let count = 0; count < 20; count += 1) await bus.produce(topic, [record(0, `${count}`)]);
    };
    await expect(fill(TOPIC)).rejects.toMatchObject({ code: 'overloaded' });
    await expect(fill(Topic.Receive)).resolves.toBeUndefined();
  });

  test('is made of what is committed once it is old enough', async () => {
    const keyPrefix = `${randomUUID()}:`;
    const bus = await open({ redis: { keyPrefix, committedRetentionMs: 0 } });
    const consumer = await join(bus);
    await bus.produce(TOPIC, [record(0, 'a'), record(0, 'b'), record(0, 'c')]);
    await consumer.commit(TOPIC, 0, 2);
    // A second group that is there, and has not read the third.
    await join(bus, { group: 'others', from: 'latest' });
    await bus.trim();
    const state = await ask(redis.address, (client) => client.hgetall(`${keyPrefix}bus:{${TOPIC}/0}:state`));
    expect(state).toMatchObject({ start: '2', next: '3', count: '1' });
    expect(await ask(redis.address, (client) => client.xlen(`${keyPrefix}bus:{${TOPIC}/0}:log`))).toBe(1);
  });
});

test('a Redis that keeps nothing over a restart, or that evicts, is refused', async () => {
  const volatile = await startRedis();
  opened.push(volatile);
  const { address } = volatile;
  await expect(open({ address })).rejects.toMatchObject({
    code: 'bad_config',
    message: expect.stringContaining('appendonly yes'),
  });
  await ask(address, (client) => client.config('SET', 'maxmemory-policy', 'allkeys-lru'));
  await expect(open({ address, redis: { keyPrefix: 'k:', fsync: 'none' } })).rejects.toMatchObject({
    message: expect.stringContaining('noeviction'),
  });
  await ask(address, (client) => client.config('SET', 'maxmemory-policy', 'noeviction'));
  await open({ address, redis: { keyPrefix: 'k:', fsync: 'none' } });
});

test('in a Redis Cluster partitions and groups lie on its nodes, and are used as anywhere', async () => {
  const nodes = await Promise.all(
    [0, 1, 2].map((at) => startRedis({ dir: path.join(dir, `node-${at}`), cluster: true, appendOnly: true })),
  );
  opened.push(...nodes);
  const [first] = nodes;
  for (const [at, node] of nodes.entries()) {
    const [from, to] = [Math.floor((16_384 * at) / 3), Math.floor((16_384 * (at + 1)) / 3) - 1];
    await ask(node.address, async (client) => {
      await client.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
      const [busPort] = [clusterPortOf(first!)];
      if (at > 0) await client.call('CLUSTER', 'MEET', '127.0.0.1', first!.port, busPort);
    });
  }
  await eventually(
    () => Promise.all(nodes.map((node) => ask(node.address, (client) => client.cluster('INFO')))),
    (infos) => infos.every((info) => /cluster_state:ok[^]*cluster_known_nodes:3/.test(String(info))),
  );
  const shape = { address: first!.address, cluster: nodes.map(({ address }) => address), keyPrefix: 'c:' };
  const [one, two] = [await open(shape), await open(shape)];
  const seen = sink();
  const members = [await join(one, { onBatch: seen.onBatch }), await join(two, { onBatch: seen.onBatch })];
  await until(() => members.every((member) => member.assigned().length === 3));
  for (let at = 0; at < 6; at += 1) await two.produce(TOPIC, [record(at, `p${at}`)]);
  await until(() => seen.records.length === 6);
  expect(seen.texts().toSorted()).toEqual(['p0', 'p1', 'p2', 'p3', 'p4', 'p5']);
  for (const member of members)
    for (const { partition, topic } of member.assigned()) await member.commit(topic, partition, 1);
  expect(await one.lag(GROUP, TOPIC)).toBe(0);
  await one.trim();
});

/** Where a node of a cluster listens to the others. */
function clusterPortOf({ spec }: RunningService): number {
  return Number(spec.args[spec.args.indexOf('--cluster-port') + 1]);
}
