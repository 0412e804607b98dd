import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Kafka, logLevel } from 'kafkajs';
import net from 'node:net';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { busConfig } from '@halley/store/bus/config';
import { until } from '../../packages/store/src/bus/contract.js';
import { RecordsTooLarge } from '@halley/store/bus/bus';
import { KafkaBus } from '@halley/store/bus/kafka';
import { Leaders } from '@halley/store/bus/kafka-leaders';
import { KafkaProducer } from '@halley/store/bus/kafka-producer';
import { busMetrics } from '@halley/store/bus/metrics';
import { AnswerLosingProxy } from './answer-losing-proxy.js';

const PARTITIONS = 4;
const NOT_ENOUGH_REPLICAS = 19;
const NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20;
const broker = process.env['HALLEY_TEST_KAFKA'] ?? 'HALLEY_TEST_KAFKA is not set';
const config = busConfig.parse({ brokers: [broker], produceTimeoutMs: 3_000 });

let topic: string;
let proxy: AnswerLosingProxy;
let producer: KafkaProducer;
let topicCount = 0;

beforeEach(async () => {
  topicCount += 1;
  topic = `produce-${process.pid}-${Date.now()}-${topicCount}`;
  proxy = new AnswerLosingProxy(broker);
  const proxyPort = await proxy.start();
  await createTopic();
  producer = new KafkaProducer({
    config,
    log: silentLogger(),
    clock: systemClock,
    metrics: busMetrics(undefined),
    leaders: new Leaders(),
    onOutcome: () => {},
    makeClient: () =>
      new Kafka({
        brokers: [broker],
        logLevel: logLevel.NOTHING,
        requestTimeout: 1_000,
        retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 3 },
        socketFactory: ({ onConnect }) => net.connect(proxyPort, '127.0.0.1', onConnect),
      }),
  });
  await producer.start();
});

afterEach(async () => {
  await producer.stop(1_000);
  await proxy.stop();
});

async function createTopic(): Promise<void> {
  const admin = new Kafka({ brokers: [broker], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  await admin.createTopics({
    waitForLeaders: true,
    topics: [{ topic, numPartitions: PARTITIONS }],
  });
  await admin.disconnect();
}

/** Everything that the topic holds, by partition. */
async function contents(records: number): Promise<string[][]> {
  const bus = new KafkaBus({
    config,
    log: silentLogger(),
    clock: systemClock,
    topics: [{ name: topic, partitions: PARTITIONS, frozen: true }],
  });
  await bus.start();
  const held: string[][] = Array.from({ length: PARTITIONS }, () => []);
  let marks = 0;
  await bus.consume({
    group: `reader-${topic}`,
    topics: [topic],
    onBatch: async (batch) => {
      for (const { value } of batch.records) {
        held[batch.partition]?.push(Buffer.from(value).toString());
        marks += 1;
      }
    },
  });
  await until(() => marks >= records);
  const lag = await bus.lag(`reader-${topic}`, topic);
  await bus.stop(1_000);
  expect(lag).toBe(records);
  return held;
}

function record(partition: number, value: string): { partition: number; key: string; value: Buffer } {
  return { partition, key: 'k', value: Buffer.from(value) };
}

test('a batch whose answer was lost is repeated and stands in the topic once', async () => {
  await producer.produce(topic, [record(0, 'before')]);
  proxy.loseAnswers = 1;
  const written = await producer.produce(topic, [record(0, 'a'), record(0, 'b')]);
  expect(written).toEqual([
    { partition: 0, offset: 1 },
    { partition: 0, offset: 2 },
  ]);
  expect(await producer.produce(topic, [record(0, 'after')])).toEqual([{ partition: 0, offset: 3 }]);
  expect(proxy.produces).toBe(4);
  expect((await contents(4))[0]).toEqual(['before', 'a', 'b', 'after']);
});

test('a request for many partitions whose answer was lost is written once in each', async () => {
  const values = Array.from({ length: PARTITIONS }, (_, partition) => record(partition, `p${partition}`));
  await producer.produce(topic, values);
  const before = proxy.produces;
  proxy.loseAnswers = 2;
  const written = await producer.produce(topic, values);
  expect(written).toEqual(values.map(({ partition }) => ({ partition, offset: 1 })));
  expect(proxy.produces).toBeGreaterThan(before + 1);
  expect(await contents(2 * PARTITIONS)).toEqual(
    values.map(({ partition }) => [`p${partition}`, `p${partition}`]),
  );
});

test('many partitions go out in one request', async () => {
  const values = Array.from({ length: PARTITIONS }, (_, partition) => record(partition, 'x'));
  await producer.produce(topic, values);
  const before = proxy.produces;
  await producer.produce(topic, values);
  expect(proxy.produces).toBe(before + 1);
});

test('what was given up without an answer is unknown, and does not swallow the next record', async () => {
  await producer.produce(topic, [record(0, 'before')]);
  proxy.loseAnswers = Infinity;
  await expect(producer.produce(topic, [record(0, 'unknown')])).rejects.toMatchObject({
    code: 'bus_unknown',
  });
  proxy.loseAnswers = 0;
  expect(await producer.produce(topic, [record(0, 'after')])).toEqual([{ partition: 0, offset: 2 }]);
  expect((await contents(3))[0]).toEqual(['before', 'unknown', 'after']);
});

test('with too few replicas in sync at every attempt a record is refused, and never appears', async () => {
  await producer.produce(topic, [record(0, 'before')]);
  proxy.answerWith = NOT_ENOUGH_REPLICAS;
  await expect(producer.produce(topic, [record(0, 'refused')])).rejects.toMatchObject({
    code: 'bus_refused',
  });
  proxy.answerWith = undefined;
  expect(await producer.produce(topic, [record(0, 'after')])).toEqual([{ partition: 0, offset: 1 }]);
  expect((await contents(2))[0]).toEqual(['before', 'after']);
});

test('with too few replicas only after it was appended, or after a lost answer, a record is unknown', async () => {
  proxy.answerWith = NOT_ENOUGH_REPLICAS_AFTER_APPEND;
  await expect(producer.produce(topic, [record(0, 'x')])).rejects.toMatchObject({ code: 'bus_unknown' });
  proxy.answerWith = undefined;
  proxy.loseAnswers = 1;
  proxy.thenAnswerWith = NOT_ENOUGH_REPLICAS;
  await expect(producer.produce(topic, [record(0, 'lost')])).rejects.toMatchObject({ code: 'bus_unknown' });
});

test('a record that is too large for the broker is refused at once, and the next goes through', async () => {
  const large = { ...record(0, ''), value: Buffer.alloc(1_100_000) };
  const start = performance.now();
  const refused: unknown = await producer.produce(topic, [large]).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'bus_refused', records: 1 });
  expect(refused).toBeInstanceOf(RecordsTooLarge);
  expect(performance.now() - start).toBeLessThan(1_500);
  expect(await producer.produce(topic, [record(0, 'next')])).toEqual([{ partition: 0, offset: 0 }]);
});
