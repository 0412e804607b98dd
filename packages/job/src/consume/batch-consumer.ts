import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Bus, BusConsumer, ReadBatch } from '@halley/store/bus/bus';

import type { JobMetrics } from '../metrics.js';

/** Takes batches of a topic. */
export interface BatchWork {
  /**
   * Resolves with true when the whole batch is done, with false when the signal aborted first. `commit` says that everything
   * below an offset is done already; it resolves when that is stored.
   */
  take(batch: ReadBatch, signal: AbortSignal, commit: (offset: number) => Promise<void>): Promise<boolean>;
}

export interface BatchConsumerDeps {
  /** As it is called in logs. */
  readonly name: string;
  readonly bus: Pick<Bus, 'consume'>;
  readonly group: string;
  readonly topic: string;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly work: BatchWork;
}

/** The member of a group that reads one topic; commits a batch once its work is done, before the next. */
export class BatchConsumer implements Service {
  readonly name: string;
  readonly #ends = new Map<number, AbortController>();
  #consumer: BusConsumer | undefined;

  constructor(private readonly deps: BatchConsumerDeps) {
    this.name = deps.name;
  }

  async start(): Promise<void> {
    const { bus, group, topic } = this.deps;
    this.#consumer = await bus.consume({
      group,
      topics: [topic],
      from: 'earliest',
      onBatch: (batch) => this.#take(batch),
      onRevoked: (partitions) => {
        for (const { partition } of partitions) this.#end(partition);
      },
    });
  }

  async stop(deadlineMs: number): Promise<void> {
    const consumer = this.#consumer;
    if (!consumer) return;
    this.#consumer = undefined;
    // A write in flight is let finish and is committed; one that is waiting to be repeated is not.
    consumer.pause(consumer.assigned());
    const stopped = consumer.stop(deadlineMs);
    for (const partition of this.#ends.keys()) this.#end(partition);
    await stopped;
  }

  get joined(): boolean {
    return this.#consumer?.healthy() ?? false;
  }

  async #take(batch: ReadBatch): Promise<void> {
    const last = batch.records.at(-1);
    if (!last) return;
    const end = new AbortController();
    this.#ends.set(batch.partition, end);
    // Kept over the stop, which waits for this handler.
    const consumer = this.#consumer;
    const commit = async (offset: number): Promise<void> => {
      const since = this.deps.clock.monotonicMs();
      await (consumer ?? this.#consumer)?.commit(batch.topic, batch.partition, offset);
      this.deps.metrics.commitSeconds.observe((this.deps.clock.monotonicMs() - since) / 1_000);
    };
    const taken = await this.deps.work.take(batch, end.signal, commit);
    if (this.#ends.get(batch.partition) === end) this.#ends.delete(batch.partition);
    // The bus must not take the batch for consumed.
    if (!taken) throw new Error(`${batch.topic}/${batch.partition} is not read here any more`);
    await commit(last.offset + 1);
  }

  #end(partition: number): void {
    this.#ends.get(partition)?.abort();
    this.#ends.delete(partition);
  }
}
