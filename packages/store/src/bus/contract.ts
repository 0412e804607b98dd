import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { HalleyError } from '@halley/protocol/error';
import { systemClock } from '@halley/service/clock';
import type { Bus, BusConsumer, BusRecord, ConsumeOptions, ReadRecord, TopicPartition } from './bus.js';

export interface BusHarness {
  /** Opens a started bus on the harness's data, with these topics. The one before was stopped. */
  open(topics: readonly string[], options?: { partitions?: number; maxQueuedBytes?: number }): Promise<Bus>;
  /** Removes the data. */
  close(): Promise<void>;
}

/** Partitions of the topics that the suite uses. */
export const CONTRACT_PARTITIONS = 6;

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

    /** Collects what a consumer is handed. */
    function sink(): { records: ReadRecord[]; texts: () => string[]; onBatch: ConsumeOptions['onBatch'] } {
      const records: ReadRecord[] = [];
      return {
        records,
        texts: () => records.map((record) => text(record.value)),
        onBatch: async (batch) => {
          records.push(...batch.records);
        },
      };
    }

    describe('produce', () => {
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

    describe('a consumer', () => {
      test('of a new group starts at the earliest record, or at the latest when asked', async () => {
        await bus.produce(topic, [record(0, 'before')]);
        const earliest = sink();
        const latest = sink();
        await consume({ onBatch: earliest.onBatch });
        await consume({ group: `late-${topic}`, from: 'latest', onBatch: latest.onBatch });
        await sleep(500);
        await bus.produce(topic, [record(0, 'after')]);
        await until(() => earliest.records.length === 2 && latest.records.length === 1);
        expect(earliest.texts()).toEqual(['before', 'after']);
        expect(latest.texts()).toEqual(['after']);
      });

      test('is handed a new record at once', async () => {
        const seen = sink();
        await consume({ onBatch: seen.onBatch });
        await bus.produce(topic, [record(0, 'first')]);
        await until(() => seen.records.length === 1);
        const start = performance.now();
        await bus.produce(topic, [record(0, 'second')]);
        await until(() => seen.records.length === 2, 5);
        expect(performance.now() - start).toBeLessThan(1_000);
      });

      test('gets batches of one partition one after another, and partitions beside each other', async () => {
        let inside = 0;
        let overlapped = false;
        let others = 0;
        const release = deferred();
        await consume({
          onBatch: async (batch) => {
            if (batch.partition !== 0) {
              others += batch.records.length;
              return;
            }
            overlapped ||= inside > 0;
            inside += 1;
            await release.promise;
            inside -= 1;
          },
        });
        await bus.produce(topic, [record(0, 'a')]);
        await until(() => inside === 1);
        for (let index = 0; index < 3; index += 1) {
          await bus.produce(topic, [record(0, `more${index}`), record(1, `other${index}`)]);
          await until(() => others === index + 1);
        }
        release.resolve();
        await until(() => inside === 0);
        expect(overlapped).toBe(false);
      });

      test('gets a batch again that its handler rejected, and skips nothing', async () => {
        const seen: string[][] = [];
        await consume({
          onBatch: async (batch) => {
            seen.push(batch.records.map((read) => text(read.value)));
            if (seen.length <= 2) throw new Error('not yet');
          },
        });
        await bus.produce(topic, [record(0, 'a'), record(0, 'b')]);
        await until(() => seen.length >= 3);
        await bus.produce(topic, [record(0, 'c')]);
        await until(() => seen.flat().includes('c'));
        expect(seen).toEqual([['a', 'b'], ['a', 'b'], ['a', 'b'], ['c']]);
      });

      test('goes on after what was committed, and gets the rest again', async () => {
        await bus.produce(
          topic,
          ['a', 'b', 'c', 'd'].map((value) => record(0, value)),
        );
        const first = sink();
        const consumer = await consume({ onBatch: first.onBatch });
        await until(() => first.records.length === 4);
        await consumer.commit(topic, 0, 2);
        await consumer.stop(1_000);
        await reopen();
        const second = sink();
        await consume({ onBatch: second.onBatch });
        await until(() => second.records.length === 2);
        expect(second.texts()).toEqual(['c', 'd']);
      });

      test('gets everything again when nothing was committed', async () => {
        await bus.produce(topic, [record(0, 'a'), record(0, 'b')]);
        const first = sink();
        const consumer = await consume({ onBatch: first.onBatch });
        await until(() => first.records.length === 2);
        await consumer.stop(0);
        const second = sink();
        await consume({ onBatch: second.onBatch });
        await until(() => second.records.length === 2);
        expect(second.texts()).toEqual(['a', 'b']);
      });

      test('reads on from where it seeks, back and forth', async () => {
        await bus.produce(
          topic,
          ['a', 'b', 'c', 'd'].map((value) => record(0, value)),
        );
        const seen = sink();
        const consumer = await consume({ onBatch: seen.onBatch });
        await until(() => seen.records.length === 4);
        consumer.seek(topic, 0, 2);
        await until(() => seen.records.length === 6);
        expect(seen.texts().slice(4)).toEqual(['c', 'd']);
        consumer.pause([{ topic, partition: 0 }]);
        await bus.produce(topic, [record(0, 'e'), record(0, 'f')]);
        consumer.seek(topic, 0, 5);
        consumer.resume([{ topic, partition: 0 }]);
        await until(() => seen.records.length === 7);
        expect(seen.texts().slice(6)).toEqual(['f']);
      });

      test('may seek from within its handler, which is where the next batch starts', async () => {
        await bus.produce(
          topic,
          ['a', 'b', 'c'].map((value) => record(0, value)),
        );
        const seen: string[][] = [];
        const consumer = await consume({
          onBatch: async (batch) => {
            seen.push(batch.records.map((read) => text(read.value)));
            if (seen.length === 1) consumer.seek(topic, 0, 1);
          },
        });
        await until(() => seen.length === 2);
        expect(seen).toEqual([
          ['a', 'b', 'c'],
          ['b', 'c'],
        ]);
      });

      test('gets nothing of a paused partition until it resumes', async () => {
        const seen = sink();
        const consumer = await consume({ onBatch: seen.onBatch });
        await bus.produce(topic, [record(0, 'a')]);
        await until(() => seen.records.length === 1);
        consumer.pause([{ topic, partition: 0 }]);
        await bus.produce(topic, [record(0, 'held'), record(1, 'flows')]);
        await until(() => seen.records.length === 2);
        await sleep(400);
        expect(seen.texts()).toEqual(['a', 'flows']);
        consumer.resume([{ topic, partition: 0 }]);
        await until(() => seen.records.length === 3);
        expect(seen.texts()).toEqual(['a', 'flows', 'held']);
      });

      test('waits for its handlers when it stops', async () => {
        let ended = false;
        const started = deferred();
        const consumer = await consume({
          onBatch: async () => {
            started.resolve();
            await sleep(300);
            ended = true;
          },
        });
        await bus.produce(topic, [record(0, 'a')]);
        await started.promise;
        await consumer.stop(5_000);
        expect(ended).toBe(true);
        expect(consumer.assigned()).toEqual([]);
        expect(consumer.healthy()).toBe(false);
      });
    });

    describe('a group', () => {
      test('shares the partitions among its members, as they join and leave', async () => {
        const owned = [new Set<number>(), new Set<number>(), new Set<number>()];
        const member = (index: number): Promise<BusConsumer> =>
          consume({
            onAssigned: (partitions) => partitions.forEach((at) => owned[index]!.add(at.partition)),
            onRevoked: (partitions) => partitions.forEach((at) => owned[index]!.delete(at.partition)),
          });
        const sizes = (): number[] => owned.map((own) => own.size);
        const first = await member(0);
        expect(sizes()).toEqual([6, 0, 0]);
        expect(first.healthy()).toBe(true);
        const second = await member(1);
        await until(() => String(sizes()) === '3,3,0');
        await member(2);
        await until(() => String(sizes()) === '2,2,2');
        expect(new Set(owned.flatMap((own) => [...own])).size).toBe(CONTRACT_PARTITIONS);
        expect(partitionsOf(first.assigned())).toEqual([...owned[0]!].toSorted((a, b) => a - b));
        await second.stop(1_000);
        await until(() => String(sizes()) === '3,0,3');
      });

      test('hands each record to one member, and what a member left uncommitted to another', async () => {
        const first = sink();
        const second = sink();
        const leaving = await consume({ onBatch: first.onBatch });
        await consume({ onBatch: second.onBatch });
        await until(() => leaving.assigned().length === CONTRACT_PARTITIONS / 2);
        await bus.produce(
          topic,
          Array.from({ length: CONTRACT_PARTITIONS }, (_, partition) => record(partition, `p${partition}`)),
        );
        await until(() => first.records.length + second.records.length >= CONTRACT_PARTITIONS);
        expect(first.texts().filter((value) => second.texts().includes(value))).toEqual([]);
        await leaving.stop(1_000);
        await until(() => new Set(second.texts()).size === CONTRACT_PARTITIONS);
      });

      test('ignores a commit for a partition that the member does not own', async () => {
        await bus.produce(
          topic,
          Array.from({ length: CONTRACT_PARTITIONS }, (_, at) => record(at, 'x')),
        );
        const first = await consume();
        const second = await consume();
        await until(() => first.assigned().length === 3 && second.assigned().length === 3);
        const { partition } = second.assigned()[0]!;
        await first.commit(topic, partition, 1);
        expect(await bus.lag(`g-${topic}`, topic)).toBe(CONTRACT_PARTITIONS);
        await second.commit(topic, partition, 1);
        expect(await bus.lag(`g-${topic}`, topic)).toBe(CONTRACT_PARTITIONS - 1);
        await second.stop(1_000);
        await expect(second.commit(topic, partition, 1)).resolves.toBeUndefined();
      });
    });

    describe('the bus', () => {
      test('tells what a group has not committed', async () => {
        await bus.produce(topic, [record(0, 'a'), record(0, 'b'), record(1, 'c')]);
        expect(await bus.lag(`g-${topic}`, topic)).toBe(3);
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

function record(partition: number, value: string): BusRecord {
  return { partition, key: 'k', value: Buffer.from(value) };
}

function text(value: Uint8Array): string {
  return Buffer.from(value).toString('utf8');
}

function partitionsOf(owned: readonly TopicPartition[]): number[] {
  return owned.map((at) => at.partition).toSorted((a, b) => a - b);
}

function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Waits for a condition; fails after 15 s. */
export async function until(condition: () => boolean, everyMs = 20): Promise<void> {
  const end = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not within 15 s: ${condition.toString()}`);
    await sleep(everyMs);
  }
}
