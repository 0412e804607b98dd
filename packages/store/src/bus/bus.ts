import { HalleyError } from '@halley/protocol/error';
import type { Service } from '@halley/service/lifecycle';

/** Names of the topics. */
export const Topic = {
  /** Pushes: written by logic (and job, for goim's ingress), read by job. */
  Push: 'halley-push',
  /** Pushes that wait while there is a backlog of others: written by logic, moved to halley-push by job. */
  Bulk: 'halley-bulk',
  /** Pushes that goim's producers write; job takes them in. */
  GoimPush: 'goim-push-topic',
  /** What clients send, for the business. */
  Receive: 'goim-receive-topic',
  /** What happened to users and devices, for the business. */
  Events: 'halley-events',
  /** Records that cannot be decoded, with why. */
  Dead: 'halley-dead',
} as const;

export type Topic = (typeof Topic)[keyof typeof Topic];

/** A record to write. */
export interface BusRecord {
  /** Where it goes; when absent, Kafka's default partitioner decides by key. */
  readonly partition?: number;
  readonly key: string;
  readonly value: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * How many entries the value has, where several such values, one behind the other, are one with the entries of all (as
   * messages of protobuf with nothing but a repeated field). Without headers, the bus then joins records of a partition that
   * wait together into one under the key of the first, with at most 1,024 entries.
   */
  readonly entries?: number;
}

/** Where a record was written. */
export interface Written {
  readonly partition: number;
  /** Of the record that it is in: the same for those that were joined. Exact up to 2^53. */
  readonly offset: number;
}

/** A record as read. */
export interface ReadRecord {
  readonly offset: number;
  readonly key: string | undefined;
  readonly value: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  readonly timestampMs: number;
}

/** Records of one partition in the order of their offsets. */
export interface ReadBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly ReadRecord[];
  /** The offset behind the newest record of the partition when this batch was read, for the lag. */
  readonly highWatermark: number;
}

export interface ConsumeOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** Where a group without a committed offset starts. Default `earliest`: a record written before the first start counts. */
  readonly from?: 'earliest' | 'latest';
  /**
   * Takes a batch. Batches of one partition come one after another: the next when this resolves; partitions run beside
   * each other. Resolving does not commit. A rejection is logged, and the same batch comes again after a backoff:
   * an error is retried, never stepped over.
   */
  onBatch(batch: ReadBatch): Promise<void>;
  /**
   * Partitions newly owned, before their first batch; they are read from what the group committed. A rebalance may
   * revoke and assign again partitions that stay: what was read and not committed then comes again, and a pause ends.
   */
  onAssigned?(partitions: readonly TopicPartition[]): void;
  /** Partitions no longer owned (or possibly not: a session that ran out). Work on them may go on; commits do nothing. */
  onRevoked?(partitions: readonly TopicPartition[]): void;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A member of a consumer group. */
export interface BusConsumer {
  /**
   * Commits that everything below `offset` is done. Resolves when it is stored, or when the partition is no longer
   * owned (it then does nothing). Trouble with the bus is retried inside, never thrown.
   */
  commit(topic: string, partition: number, offset: number): Promise<void>;
  /**
   * Reads on from `offset`, which is at most the end; batches already handed over are not taken back. From within the
   * handler, the next batch starts there.
   */
  seek(topic: string, partition: number, offset: number): void;
  /** Hands over no more batches of this partition until resumed. */
  pause(partitions: readonly TopicPartition[]): void;
  resume(partitions: readonly TopicPartition[]): void;
  /** Partitions owned now. */
  assigned(): readonly TopicPartition[];
  /** Whether it has joined its group and reads. */
  healthy(): boolean;
  /** Leaves the group at once, after the handlers in flight or the deadline. */
  stop(deadlineMs: number): Promise<void>;
}

/**
 * A durable, partitioned log. Within a partition, records stand in the order of `produce` calls of one process.
 *
 * `produce` resolves when every record is durable (Kafka: acks=all, idempotent; embedded: flushed). It rejects with
 * HalleyError `bus_refused` when none of the records will ever appear, `bus_unknown` when some may, and `overloaded`
 * when the bounded queue is full (none will appear). At most one produce is in flight per partition; what comes
 * meanwhile is joined into the next. Records that are larger than the bus takes: {@link RecordsTooLarge}, itself or as
 * the cause.
 */
export interface Bus extends Service {
  produce(topic: string, records: readonly BusRecord[], options?: ProduceOptions): Promise<Written[]>;
  /**
   * Joins a consumer group; resolves when it was assigned partitions (perhaps none), which may take as long as the bus
   * is away. `onAssigned` comes before, the first batch after.
   */
  consume(options: ConsumeOptions): Promise<BusConsumer>;
  /** Frozen in the configuration; `start` creates missing topics and refuses another count. */
  partitions(topic: string): number;
  /** Records that `group` has not committed yet, over all partitions of a topic. `bus_unknown` while the bus is away. */
  lag(group: string, topic: string): Promise<number>;
  /** The same by partition, of every partition of the topic. */
  lags(group: string, topic: string): Promise<ReadonlyMap<number, number>>;
  /** Changes only when the bus itself was lost: positions of different epochs are not comparable. */
  readonly epoch: string;
  /** Whether the bus can be reached now, for readiness. */
  healthy(): boolean;
}

/** The bus takes nothing as large as this, however often it is repeated: none of the records will ever appear. */
export class RecordsTooLarge extends HalleyError {
  constructor(
    /** How many were refused together. 1: that record is too large by itself; more: each may fit alone. */
    readonly records: number,
    options?: { readonly cause?: unknown },
  ) {
    super('bus_refused', 'The record is too large for the bus.', options);
  }

  /** The one that an error of `produce` is, or comes from. */
  static in(error: unknown): RecordsTooLarge | undefined {
    let at = error;
    while (at instanceof Error && !(at instanceof RecordsTooLarge)) at = at.cause;
    return at instanceof RecordsTooLarge ? at : undefined;
  }
}

/** What {@link Bus.lags} answers, over all partitions. */
export function sumOf(lags: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const lag of lags.values()) sum += lag;
  return sum;
}

export interface ProduceOptions {
  /** Monotonic milliseconds (Clock.monotonicMs) after which the records are not sent any more: `deadline_exceeded`. */
  readonly deadlineMs?: number;
}
