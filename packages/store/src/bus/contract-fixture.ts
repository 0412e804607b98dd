import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, BusConsumer, BusRecord, ConsumeOptions, ReadRecord, TopicPartition } from './bus.js';

/** Partitions of the topics that the suite uses. */
export const CONTRACT_PARTITIONS = 6;

/** A test's bus and topic, and what tests do with them. */
export interface BusFixture {
  readonly bus: Bus;
  readonly topic: string;
  /** A consumer in the group `g-{topic}` that takes everything, unless told otherwise; stopped after the test. */
  consume(options?: Partial<ConsumeOptions>): Promise<BusConsumer>;
  /** Stops the bus and opens it again on the same data. */
  reopen(): Promise<void>;
}

/** Collects what a consumer is handed. */
export function sink(): { records: ReadRecord[]; texts: () => string[]; onBatch: ConsumeOptions['onBatch'] } {
  const records: ReadRecord[] = [];
  return {
    records,
    texts: () => records.map((record) => text(record.value)),
    onBatch: async (batch) => {
      records.push(...batch.records);
    },
  };
}

export function record(partition: number, value: string): BusRecord {
  return { partition, key: 'k', value: Buffer.from(value) };
}

export function text(value: Uint8Array): string {
  return Buffer.from(value).toString('utf8');
}

export function partitionsOf(owned: readonly TopicPartition[]): number[] {
  return owned.map((at) => at.partition).toSorted((a, b) => a - b);
}

export function deferred(): { promise: Promise<void>; resolve: () => void } {
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
