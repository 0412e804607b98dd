import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HalleyError } from '@halley/protocol/error';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { startKafka } from '@halley/services/kafka';
import { busConfig } from '@halley/store/bus/config';
import { until } from '../../packages/store/src/bus/contract.js';
import { KafkaBus } from '@halley/store/bus/kafka';

const TOPIC = 'outage';
const PARTITIONS = 4;

let dir: string;
let kafka: Awaited<ReturnType<typeof startKafka>>;
let bus: KafkaBus;

beforeEach(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-outage-'));
  kafka = await startKafka({ dir });
  bus = new KafkaBus({
    config: busConfig.parse({ brokers: [kafka.address] }),
    log: silentLogger(),
    clock: systemClock,
    topics: [{ name: TOPIC, partitions: PARTITIONS, frozen: true }],
  });
  await bus.start();
}, 120_000);

afterEach(async () => {
  await bus.stop(2_000);
  await kafka.stop();
  await rm(dir, { recursive: true, force: true });
});

test('a broker killed while records are written loses nothing that was accepted, keeps the order, and its consumer goes on', async () => {
  const seen: Map<number, string>[] = Array.from({ length: PARTITIONS }, () => new Map());
  const consumer = await bus.consume({
    group: 'survivor',
    topics: [TOPIC],
    onBatch: async (batch) => {
      for (const read of batch.records) {
        const value = Buffer.from(read.value).toString();
        const known = seen[batch.partition]?.get(read.offset);
        if (known !== undefined) expect(value).toBe(known);
        seen[batch.partition]?.set(read.offset, value);
      }
      const last = batch.records.at(-1);
      if (last) void consumer.commit(TOPIC, batch.partition, last.offset + 1);
    },
  });
  const accepted: { partition: number; offset: number; value: string }[] = [];
  const refused: string[] = [];
  const unknown: string[] = [];
  let count = 0;
  let writing = true;
  const write = async (partition: number): Promise<void> => {
    while (writing) {
      count += 1;
      const value = `${partition}:${count}`;
      try {
        const [at] = await bus.produce(TOPIC, [{ partition, key: 'k', value: Buffer.from(value) }]);
        accepted.push({ partition, offset: at?.offset ?? -1, value });
      } catch (error) {
        (error instanceof HalleyError && error.code === 'bus_unknown' ? unknown : refused).push(value);
      }
    }
  };
  const writers = Array.from({ length: 3 * PARTITIONS }, (_, index) => write(index % PARTITIONS));
  for (let outage = 0; outage < 2; outage += 1) {
    await sleep(1_000);
    const before = accepted.length;
    await kafka.kill();
    await kafka.restart();
    await until(() => accepted.length > before + 100);
  }
  expect(bus.healthy()).toBe(true);
  writing = false;
  await Promise.all(writers);
  await until(() => accepted.every(({ offset, partition }) => seen[partition]?.has(offset)));
  for (const { offset, partition, value } of accepted) expect(seen[partition]?.get(offset)).toBe(value);
  const all = seen.flatMap((partition) => [...partition.values()]);
  expect(new Set(all).size).toBe(all.length);
  expect(refused.filter((value) => all.includes(value))).toEqual([]);
  for (const [index, partition] of seen.entries()) {
    const mine = accepted.filter((at) => at.partition === index).map((at) => at.offset);
    expect(mine).toEqual(mine.toSorted((a, b) => a - b));
    expect(partition.size).toBeLessThanOrEqual(mine.length + unknown.length);
  }
  expect(accepted.length).toBeGreaterThan(200);
  expect(consumer.healthy()).toBe(true);
  await until(() => consumer.assigned().length === PARTITIONS);
}, 120_000);

test('while the broker is away records are refused or unknown in time, and what waited is refused', async () => {
  await bus.stop(1_000);
  bus = new KafkaBus({
    config: busConfig.parse({ brokers: [kafka.address], produceTimeoutMs: 1_500 }),
    log: silentLogger(),
    clock: systemClock,
    topics: [{ name: TOPIC, partitions: PARTITIONS, frozen: true }],
  });
  await bus.start();
  await bus.produce(TOPIC, [{ partition: 0, key: 'k', value: Buffer.from('before') }]);
  await kafka.kill();
  const start = performance.now();
  const outcomes = await Promise.allSettled(
    [1, 2, 3].map(async (index) => {
      await sleep(index * 20);
      return bus.produce(TOPIC, [{ partition: 0, key: 'k', value: Buffer.from(`n${index}`) }]);
    }),
  );
  const codes = outcomes.map((outcome) =>
    outcome.status === 'rejected' ? (outcome.reason as HalleyError).code : 'written',
  );
  expect(codes).toEqual(['bus_unknown', 'bus_refused', 'bus_refused']);
  expect(performance.now() - start).toBeLessThan(4_000);
  expect(bus.healthy()).toBe(false);
  await kafka.restart();
  await until(() => bus.healthy());
  const [at] = await bus.produce(TOPIC, [{ partition: 0, key: 'k', value: Buffer.from('after') }]);
  expect(at?.partition).toBe(0);
}, 120_000);

test('a handler that takes longer than a session keeps its partition', async () => {
  let handled = 0;
  let revoked = 0;
  const consumer = await bus.consume({
    group: 'slow',
    topics: [TOPIC],
    onRevoked: () => {
      revoked += 1;
    },
    onBatch: async () => {
      await sleep(8_000);
      handled += 1;
    },
  });
  await bus.produce(TOPIC, [{ partition: 1, key: 'k', value: Buffer.from('slow') }]);
  await until(() => handled === 1);
  await consumer.commit(TOPIC, 1, 1);
  expect(revoked).toBe(0);
  expect(await bus.lag('slow', TOPIC)).toBe(0);
}, 60_000);

test('a start against a port where no Kafka is fails with one readable line', async () => {
  const lost = new KafkaBus({
    config: busConfig.parse({ brokers: ['127.0.0.1:1'], connectTimeoutMs: 500 }),
    log: silentLogger(),
    clock: systemClock,
  });
  await expect(lost.start()).rejects.toThrow(
    /^Kafka cannot be reached at 127\.0\.0\.1:1: .*Start it, or set bus\.brokers\.$/,
  );
});
