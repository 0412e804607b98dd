import { setTimeout as sleep } from 'node:timers/promises';

import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import {
  type Bus,
  type BusConsumer,
  type ReadBatch,
  Topic,
  type TopicPartition,
} from '@halley/store/bus/bus';

import type { JobMetrics } from '../metrics.js';
import type { GoimIngress } from './goim-ingress.js';
import { Lane, LaneEnded, type LaneDeps } from './lanes.js';

interface ConsumerDeps {
  readonly bus: Pick<Bus, 'consume'>;
  readonly group: string;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

export interface PushConsumerDeps extends ConsumerDeps {
  readonly lane: LaneDeps;
  readonly commitIntervalMs: number;
}

/**
 * The member of the group that reads halley-push: a lane for each partition that it owns. What is done is committed on
 * a timer, when a partition goes to another job, and at the end.
 */
export class PushConsumer implements Service {
  readonly name = 'push consumer';
  readonly #lanes = new Map<number, OwnedLane>();
  #consumer: BusConsumer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(private readonly deps: PushConsumerDeps) {}

  async start(): Promise<void> {
    const { bus, group, commitIntervalMs } = this.deps;
    this.#consumer = await bus.consume({
      group,
      topics: [Topic.Push],
      from: 'earliest',
      onBatch: async (batch) => {
        if (this.#stopping) throw new LaneEnded(`${batch.topic}/${batch.partition}`);
        await this.#laneOf(batch).lane.take(batch);
      },
      onAssigned: (partitions) => {
        for (const at of partitions) this.#laneOf(at);
      },
      onRevoked: (partitions) => this.#revoked(partitions),
    });
    this.#timer = setInterval(() => void this.commit(), commitIntervalMs);
  }

  /** Takes nothing more, waits for what is in flight for at most half of the deadline, commits, and leaves. */
  async stop(deadlineMs: number): Promise<void> {
    const consumer = this.#consumer;
    clearInterval(this.#timer);
    if (!consumer) return;
    this.#consumer = undefined;
    this.#stopping = true;
    const until = this.deps.clock.monotonicMs() + deadlineMs;
    consumer.pause(consumer.assigned());
    const lanes = [...this.#lanes.values()];
    const drained = Promise.all(lanes.map(({ lane }) => lane.drained()));
    const late = new AbortController();
    await Promise.race([
      drained,
      sleep(deadlineMs / 2, undefined, { signal: late.signal }).catch(() => undefined),
    ]);
    late.abort();
    for (const { lane } of lanes) lane.end();
    await Promise.race([this.#commitAll(consumer), sleep(deadlineMs / 4)]);
    await consumer.stop(Math.max(0, until - this.deps.clock.monotonicMs()));
    this.#lanes.clear();
  }

  /** Commits what is done; resolves when it is stored. */
  async commit(): Promise<void> {
    if (this.#consumer) await this.#commitAll(this.#consumer);
  }

  /** Whether it has joined its group and reads. */
  get joined(): boolean {
    return this.#consumer?.healthy() ?? false;
  }

  /** Unix milliseconds at which the bus took the oldest record that is not done; undefined when all are. */
  get oldestUndoneMs(): number | undefined {
    const times = this.lanes.flatMap(({ offsets }) => offsets.oldestTimestampMs ?? []);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** One for each partition owned. */
  get lanes(): Lane[] {
    return [...this.#lanes.values()].map(({ lane }) => lane);
  }

  async #commitAll(consumer: BusConsumer): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((owned) => this.#commit(consumer, owned)));
  }

  async #commit(consumer: BusConsumer, owned: OwnedLane): Promise<void> {
    const offset = owned.lane.offsets.committable;
    if (offset === undefined || offset === owned.committed) return;
    // One after another: a slow earlier one must not undo a later one.
    owned.committed = offset;
    owned.committing = owned.committing.then(async () => {
      const { clock, metrics, log } = this.deps;
      const since = clock.monotonicMs();
      try {
        await consumer.commit(owned.lane.topic, owned.lane.partition, offset);
        metrics.commitSeconds.observe((clock.monotonicMs() - since) / 1_000);
      } catch (error) {
        if (owned.committed === offset) owned.committed = undefined;
        log.warn({ err: error, topic: owned.lane.topic, partition: owned.lane.partition }, 'commit failed');
      }
    });
    await owned.committing;
  }

  #laneOf({ topic, partition }: TopicPartition | ReadBatch): OwnedLane {
    let owned = this.#lanes.get(partition);
    if (!owned) {
      const lane = new Lane(topic, partition, this.deps.lane);
      owned = { lane, committed: undefined, committing: Promise.resolve() };
      this.#lanes.set(partition, owned);
    }
    return owned;
  }

  #revoked(partitions: readonly TopicPartition[]): void {
    for (const { partition } of partitions) {
      const owned = this.#lanes.get(partition);
      if (!owned) continue;
      this.#lanes.delete(partition);
      owned.lane.end();
      if (this.#consumer) void this.#commit(this.#consumer, owned);
    }
  }
}

interface OwnedLane {
  readonly lane: Lane;
  committed: number | undefined;
  committing: Promise<void>;
}

export interface IngressConsumerDeps extends ConsumerDeps {
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
