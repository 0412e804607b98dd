import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { HalleyError } from '@halley/protocol/error';
import { systemClock } from '@halley/service/clock';
import type { Bus, BusConsumer, ConsumeOptions } from './bus.js';
import { consumerContract } from './contract-consumer.js';
import { CONTRACT_PARTITIONS, record, sink, until, type BusFixture } from './contract-fixture.js';

export { CONTRACT_PARTITIONS, until };

export interface BusHarness {
  /** Opens a started bus on the harness's data, with these topics. The one before was stopped. */
  open(topics: readonly string[], options?: { partitions?: number; maxQueuedBytes?: number }): Promise<Bus>;
  /** Removes the data. */
  close(): Promise<void>;
}

/** What every adapter of the bus does; see the port for the words. */
export function busContract(name: string, makeHarness: () => Promise<BusHarness>): void {
  describe(name, () => {
    let harness: BusHarness;
    let bus: Bus;
    let topic: string;
    let consumers: BusConsumer[];
    let topicCount = 0;

    beforeEach(async () => {
      harness = await makeHarness();
      topicCount += 1;
      topic = `contract-${process.pid}-${Date.now()}-${topicCount}`;
      consumers = [];
      bus = await harness.open([topic]);
    });

    afterEach(async () => {
      await Promise.all(consumers.map((consumer) => consumer.stop(1_000)));
      await bus.stop(2_000);
      await harness.close();
    });

    async function consume(options: Partial<ConsumeOptions> = {}): Promise<BusConsumer> {
      const consumer = await bus.consume({
        group: `g-${topic}`,
        topics: [topic],
        onBatch: async () => {},
        ...options,
      });
      consumers.push(consumer);
      return consumer;
    }

    async function reopen(options?: { partitions?: number }): Promise<void> {
      await bus.stop(2_000);
      bus = await harness.open([topic], options);
    }

    const fixture: BusFixture = {
      get bus() {
        return bus;
      },
      get topic() {
        return topic;
      },
      consume,
      reopen,
    };

    describe('produce', () => {
      test('joins records that say their entries, in order, and answers with where each is', async () => {
        const taken = sink();
        await consume({ onBatch: taken.onBatch });
        const values = Array.from({ length: 20 }, (_, index) => `[${index}]`);
        const written = await Promise.all(
          values.map((value) => bus.produce(topic, [{ ...record(0, value), entries: 1 }])),
        );
        await until(() => taken.texts().join('').length >= values.join('').length);
        expect(taken.texts().join('')).toBe(values.join(''));
        for (const [index, [at]] of written.entries()) {
          const found = taken.records.find(({ offset }) => offset === at?.offset);
          expect(Buffer.from(found?.value ?? []).toString()).toContain(values[index]);
        }
      });

      test('answers with the partition and offset of each record', async () => {
        const first = await bus.produce(topic, [record(2, 'a'), record(2, 'b'), record(4, 'c')]);
        expect(first).toEqual([
          { partition: 2, offset: 0 },
          { partition: 2, offset: 1 },
          { partition: 4, offset: 0 },
        ]);
        expect(await bus.produce(topic, [record(2, 'd')])).toEqual([{ partition: 2, offset: 2 }]);
      });

      test('takes nothing for no records', async () => {
        expect(await bus.produce(topic, [])).toEqual([]);
      });

      test('keeps the order of the calls within a partition, whatever is in flight', async () => {
        const calls = Array.from({ length: 300 }, async (_, index) => {
          if (index % 50 === 49) await sleep(5);
          return index;
        });
        const written = await Promise.all(
          calls.map(async (call, index) => {
            if (index < 200) return bus.produce(topic, [record(1, `n${index}`)]);
            await call;
            return bus.produce(topic, [record(3, `late${index}`)]);
          }),
        );
        const offsets = written.slice(0, 200).map(([at]) => at?.offset);
        expect(offsets).toEqual(Array.from({ length: 200 }, (_, index) => index));
        const seen = sink();
        await consume({ onBatch: seen.onBatch });
        await until(() => seen.records.length === 300);
        expect(seen.texts().filter((value) => value.startsWith('n'))).toEqual(
          Array.from({ length: 200 }, (_, index) => `n${index}`),
        );
      });

      test('puts records of one key into one partition when none is named', async () => {
        const written = await bus.produce(topic, [
          { key: 'same', value: Buffer.from('1') },
          { key: 'same', value: Buffer.from('2') },
        ]);
        expect(written[0]?.partition).toBe(written[1]?.partition);
      });

      test('refuses what the bounded queue does not hold, and none of that appears', async () => {
        await bus.stop(2_000);
        bus = await harness.open([topic], { maxQueuedBytes: 20_000 });
        const outcomes = await Promise.allSettled(
          Array.from({ length: 50 }, (_, index) =>
            bus.produce(topic, [{ partition: 0, key: 'k', value: Buffer.from(`${index}`.padEnd(1_000)) }]),
          ),
        );
        const accepted = outcomes.flatMap((outcome, index) =>
          outcome.status === 'fulfilled' ? [index] : [],
        );
        const codes = outcomes.flatMap((outcome) =>
          outcome.status === 'rejected' ? [(outcome.reason as HalleyError).code] : [],
        );
        expect(accepted.length).toBeGreaterThan(5);
        expect(new Set(codes)).toEqual(new Set(['overloaded']));
        await bus.produce(topic, [record(0, 'end')]);
        const seen = sink();
        await consume({ onBatch: seen.onBatch });
        await until(() => seen.texts().includes('end'));
        expect(seen.texts().map((value) => value.trim())).toEqual([...accepted.map(String), 'end']);
      });

      test('never writes a record whose deadline has passed', async () => {
        const late = bus.produce(topic, [record(0, 'late')], { deadlineMs: systemClock.monotonicMs() - 1 });
        await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
        await bus.produce(topic, [record(0, 'in time')], { deadlineMs: systemClock.monotonicMs() + 10_000 });
        const seen = sink();
        await consume({ onBatch: seen.onBatch });
        await until(() => seen.records.length > 0);
        expect(seen.texts()).toEqual(['in time']);
      });
    });

    describe('records', () => {
      test('come back with key, headers, value and time', async () => {
        const before = Date.now() - 1_000;
        const headers = { id: 'm-1', trace: '00-ab-cd-01', naïve: 'Grüße 🌍' };
        await bus.produce(topic, [
          { partition: 0, key: 'ключ/鍵🔑', value: Buffer.from([0, 255, 10]), headers },
        ]);
        const seen = sink();
        await consume({ onBatch: seen.onBatch });
        await until(() => seen.records.length === 1);
        expect(seen.records[0]).toMatchObject({ offset: 0, key: 'ключ/鍵🔑', headers });
        expect([...seen.records[0]!.value]).toEqual([0, 255, 10]);
        expect(seen.records[0]!.timestampMs).toBeGreaterThan(before);
      });

      test('may be empty, or a mebibyte', async () => {
        const large = Buffer.alloc(1_048_576, 'x');
        await bus.produce(topic, [
          { partition: 0, key: '', value: Buffer.alloc(0) },
          { partition: 0, key: 'large', value: large },
        ]);
        const seen = sink();
        await consume({ onBatch: seen.onBatch });
        await until(() => seen.records.length === 2);
        expect(seen.records[0]!.value.byteLength).toBe(0);
        expect(Buffer.compare(seen.records[1]!.value, large)).toBe(0);
      });
    });

    consumerContract(fixture);

    describe('the bus', () => {
      test('tells what a group has not committed', async () => {
        await bus.produce(topic, [record(0, 'a'), record(0, 'b'), record(1, 'c')]);
        expect(await bus.lag(`g-${topic}`, topic)).toBe(3);
        const lags = await bus.lags(`g-${topic}`, topic);
        expect([lags.get(0), lags.get(1), lags.size]).toEqual([2, 1, CONTRACT_PARTITIONS]);
        const seen = sink();
        const consumer = await consume({ onBatch: seen.onBatch });
        await until(() => seen.records.length === 3);
        await consumer.commit(topic, 0, 2);
        expect(await bus.lag(`g-${topic}`, topic)).toBe(1);
        await consumer.commit(topic, 1, 1);
        expect(await bus.lag(`g-${topic}`, topic)).toBe(0);
      });

      test('knows its partitions, and refuses another count', async () => {
        expect(bus.partitions(topic)).toBe(CONTRACT_PARTITIONS);
        await bus.stop(2_000);
        const other = harness.open([topic], { partitions: CONTRACT_PARTITIONS + 1 });
        await expect(other).rejects.toMatchObject({ code: 'bad_config' });
        bus = await harness.open([topic]);
      });

      test('keeps epoch and records over a restart', async () => {
        const { epoch } = bus;
        expect(epoch).not.toBe('');
        expect(bus.healthy()).toBe(true);
        await bus.produce(topic, [record(0, 'a')]);
        await reopen();
        expect(bus.epoch).toBe(epoch);
        expect(await bus.produce(topic, [record(0, 'b')])).toEqual([{ partition: 0, offset: 1 }]);
        const seen = sink();
        await consume({ onBatch: seen.onBatch });
        await until(() => seen.records.length === 2);
        expect(seen.texts()).toEqual(['a', 'b']);
      });

      test('refuses to produce once it is stopped', async () => {
        await bus.stop(1_000);
        await expect(bus.produce(topic, [record(0, 'a')])).rejects.toBeInstanceOf(HalleyError);
      });
    });
  });
}
