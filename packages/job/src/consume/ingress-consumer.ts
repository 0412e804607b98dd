import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import { type Bus, type BusConsumer, type ReadBatch, Topic } from '@halley/store/bus/bus';

import type { JobMetrics } from '../metrics.js';
import type { GoimIngress } from './goim-ingress.js';

export interface IngressConsumerDeps {
  readonly bus: Pick<Bus, 'consume'>;
  readonly group: string;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly ingress: GoimIngress;
}

/** The member of the group that reads goim's topic; commits a batch once it is in halley-push, before the next. */
export class IngressConsumer implements Service {
  readonly name = 'goim ingress';
  readonly #ends = new Map<number, AbortController>();
  #consumer: BusConsumer | undefined;

  constructor(private readonly deps: IngressConsumerDeps) {}

  async start(): Promise<void> {
    const { bus, group } = this.deps;
    this.#consumer = await bus.consume({
      group,
      topics: [Topic.GoimPush],
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
    const taken = await this.deps.ingress.take(batch, end.signal);
    if (this.#ends.get(batch.partition) === end) this.#ends.delete(batch.partition);
    // The bus must not take the batch for consumed.
    if (!taken) throw new Error(`${batch.topic}/${batch.partition} is not read here any more`);
    const since = this.deps.clock.monotonicMs();
    await (consumer ?? this.#consumer)?.commit(batch.topic, batch.partition, last.offset + 1);
    this.deps.metrics.commitSeconds.observe((this.deps.clock.monotonicMs() - since) / 1_000);
  }

  #end(partition: number): void {
    this.#ends.get(partition)?.abort();
    this.#ends.delete(partition);
  }
}
