import { describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BusConsumer } from './bus.js';
import {
  CONTRACT_PARTITIONS,
  deferred,
  partitionsOf,
  record,
  sink,
  text,
  until,
  type BusFixture,
} from './contract-fixture.js';

/** The part of the bus contract about consumers and their groups. */
export function consumerContract(fixture: BusFixture): void {
  describe('a consumer', () => {
    test('of a new group starts at the earliest record, or at the latest when asked', async () => {
      await fixture.bus.produce(fixture.topic, [record(0, 'before')]);
      const earliest = sink();
      const latest = sink();
      await fixture.consume({ onBatch: earliest.onBatch });
      await fixture.consume({ group: `late-${fixture.topic}`, from: 'latest', onBatch: latest.onBatch });
      await sleep(500);
      await fixture.bus.produce(fixture.topic, [record(0, 'after')]);
      await until(() => earliest.records.length === 2 && latest.records.length === 1);
      expect(earliest.texts()).toEqual(['before', 'after']);
      expect(latest.texts()).toEqual(['after']);
    });

    test('that has read all is handed a new record', async () => {
      const seen = sink();
      await fixture.consume({ onBatch: seen.onBatch });
      await fixture.bus.produce(fixture.topic, [record(0, 'first')]);
      await until(() => seen.records.length === 1);
      await fixture.bus.produce(fixture.topic, [record(0, 'second')]);
      await until(() => seen.records.length === 2);
      expect(seen.texts()).toEqual(['first', 'second']);
    });

    test('gets batches of one partition one after another, and partitions beside each other', async () => {
      let inside = 0;
      let overlapped = false;
      let others = 0;
      const release = deferred();
      await fixture.consume({
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
      await fixture.bus.produce(fixture.topic, [record(0, 'a')]);
      await until(() => inside === 1);
      for (let index = 0; index < 3; index += 1) {
        await fixture.bus.produce(fixture.topic, [record(0, `more${index}`), record(1, `other${index}`)]);
        await until(() => others === index + 1);
      }
      release.resolve();
      await until(() => inside === 0);
      expect(overlapped).toBe(false);
    });

    test('gets a batch again that its handler rejected, and skips nothing', async () => {
      const seen: string[][] = [];
      await fixture.consume({
        onBatch: async (batch) => {
          seen.push(batch.records.map((read) => text(read.value)));
          if (seen.length <= 2) throw new Error('not yet');
        },
      });
      await fixture.bus.produce(fixture.topic, [record(0, 'a'), record(0, 'b')]);
      await until(() => seen.length >= 3);
      await fixture.bus.produce(fixture.topic, [record(0, 'c')]);
      await until(() => seen.flat().includes('c'));
      expect(seen).toEqual([['a', 'b'], ['a', 'b'], ['a', 'b'], ['c']]);
    });

    test('goes on after what was committed, and gets the rest again', async () => {
      await fixture.bus.produce(
        fixture.topic,
        ['a', 'b', 'c', 'd'].map((value) => record(0, value)),
      );
      const first = sink();
      const consumer = await fixture.consume({ onBatch: first.onBatch });
      await until(() => first.records.length === 4);
      await consumer.commit(fixture.topic, 0, 2);
      await consumer.stop(1_000);
      await fixture.reopen();
      const second = sink();
      await fixture.consume({ onBatch: second.onBatch });
      await until(() => second.records.length === 2);
      expect(second.texts()).toEqual(['c', 'd']);
    });

    test('gets everything again when nothing was committed', async () => {
      await fixture.bus.produce(fixture.topic, [record(0, 'a'), record(0, 'b')]);
      const first = sink();
      const consumer = await fixture.consume({ onBatch: first.onBatch });
      await until(() => first.records.length === 2);
      await consumer.stop(0);
      const second = sink();
      await fixture.consume({ onBatch: second.onBatch });
      await until(() => second.records.length === 2);
      expect(second.texts()).toEqual(['a', 'b']);
    });

    test('reads on from where it seeks, back and forth', async () => {
      await fixture.bus.produce(
        fixture.topic,
        ['a', 'b', 'c', 'd'].map((value) => record(0, value)),
      );
      const seen = sink();
      const consumer = await fixture.consume({ onBatch: seen.onBatch });
      await until(() => seen.records.length === 4);
      consumer.seek(fixture.topic, 0, 2);
      await until(() => seen.records.length === 6);
      expect(seen.texts().slice(4)).toEqual(['c', 'd']);
      consumer.pause([{ topic: fixture.topic, partition: 0 }]);
      await fixture.bus.produce(fixture.topic, [record(0, 'e'), record(0, 'f')]);
      consumer.seek(fixture.topic, 0, 5);
      consumer.resume([{ topic: fixture.topic, partition: 0 }]);
      await until(() => seen.records.length === 7);
      expect(seen.texts().slice(6)).toEqual(['f']);
    });

    test('may seek from within its handler, which is where the next batch starts', async () => {
      await fixture.bus.produce(
        fixture.topic,
        ['a', 'b', 'c'].map((value) => record(0, value)),
      );
      const seen: string[][] = [];
      const consumer = await fixture.consume({
        onBatch: async (batch) => {
          seen.push(batch.records.map((read) => text(read.value)));
          if (seen.length === 1) consumer.seek(fixture.topic, 0, 1);
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
      const consumer = await fixture.consume({ onBatch: seen.onBatch });
      await fixture.bus.produce(fixture.topic, [record(0, 'a')]);
      await until(() => seen.records.length === 1);
      consumer.pause([{ topic: fixture.topic, partition: 0 }]);
      await fixture.bus.produce(fixture.topic, [record(0, 'held'), record(1, 'flows')]);
      await until(() => seen.records.length === 2);
      await sleep(400);
      expect(seen.texts()).toEqual(['a', 'flows']);
      consumer.resume([{ topic: fixture.topic, partition: 0 }]);
      await until(() => seen.records.length === 3);
      expect(seen.texts()).toEqual(['a', 'flows', 'held']);
    });

    test('waits for its handlers when it stops', async () => {
      let ended = false;
      const started = deferred();
      const consumer = await fixture.consume({
        onBatch: async () => {
          started.resolve();
          await sleep(300);
          ended = true;
        },
      });
      await fixture.bus.produce(fixture.topic, [record(0, 'a')]);
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
        fixture.consume({
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
      const leaving = await fixture.consume({ onBatch: first.onBatch });
      await fixture.consume({ onBatch: second.onBatch });
      await until(() => leaving.assigned().length === CONTRACT_PARTITIONS / 2);
      await fixture.bus.produce(
        fixture.topic,
        Array.from({ length: CONTRACT_PARTITIONS }, (_, partition) => record(partition, `p${partition}`)),
      );
      await until(() => first.records.length + second.records.length >= CONTRACT_PARTITIONS);
      expect(first.texts().filter((value) => second.texts().includes(value))).toEqual([]);
      await leaving.stop(1_000);
      await until(() => new Set(second.texts()).size === CONTRACT_PARTITIONS);
    });

    test('ignores a commit for a partition that the member does not own', async () => {
      await fixture.bus.produce(
        fixture.topic,
        Array.from({ length: CONTRACT_PARTITIONS }, (_, at) => record(at, 'x')),
      );
      const first = await fixture.consume();
      const second = await fixture.consume();
      await until(() => first.assigned().length === 3 && second.assigned().length === 3);
      const { partition } = second.assigned()[0]!;
      await first.commit(fixture.topic, partition, 1);
      expect(await fixture.bus.lag(`g-${fixture.topic}`, fixture.topic)).toBe(CONTRACT_PARTITIONS);
      await second.commit(fixture.topic, partition, 1);
      expect(await fixture.bus.lag(`g-${fixture.topic}`, fixture.topic)).toBe(CONTRACT_PARTITIONS - 1);
      await second.stop(1_000);
      await expect(second.commit(fixture.topic, partition, 1)).resolves.toBeUndefined();
    });
  });
}
