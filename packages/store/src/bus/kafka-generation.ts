import type { Kafka, Message, PartitionerArgs, Producer, TopicMessages } from 'kafkajs';
import type { BusRecord } from './bus.js';
import { LeaderMovedError, readFailure, type Attempt } from './kafka-attempt.js';
import type { Leaders } from './kafka-leaders.js';
import type { LaneBatch } from './produce-queue.js';

/** A batch as the client takes it; made once, so that each attempt is the same. */
export interface SealedBatch {
  readonly batch: LaneBatch;
  readonly messages: readonly SealedMessage[];
  /** The broker that must lead the partition when this is sent together with others. */
  readonly expectation: { leader: number | undefined };
}

interface SealedMessage extends Message {
  readonly partition: number;
  readonly expectation: { readonly leader: number | undefined };
}

/** Sequence numbers have 31 bits and the client wraps them wrongly: it gets a new id long before. */
const MAX_RECORDS = 2 ** 30;

/**
 * One idempotent producer, that is one producer id with a sequence per partition. Kafka drops a batch that comes again
 * under the same sequence; so an attempt is only repeated on the producer that began it, and when it is given up
 * while it may have been written, nothing more is begun here: the next batch would get the same sequence and be taken
 * for its repetition, answered as written and lost.
 */
export class ProducerGeneration {
  #users = 0;
  #records = 0;
  #spoiled = false;

  private constructor(
    private readonly producer: Producer,
    private readonly ackTimeoutMs: number,
  ) {}

  /** Connects and gets a producer id. */
  static async open(kafka: Kafka, leaders: Leaders, ackTimeoutMs: number): Promise<ProducerGeneration> {
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      // NaN: exactly one attempt. The client refuses 0, and its own repetition hides the error of the first attempt.
      retry: { retries: NaN },
      createPartitioner: () => partitioner(leaders),
    });
    try {
      await producer.connect();
    } catch (error) {
      void producer.disconnect().catch(() => undefined);
      throw error;
    }
    return new ProducerGeneration(producer, ackTimeoutMs);
  }

  /** Whether new batches may begin here. */
  get usable(): boolean {
    return !this.#spoiled && this.#records < MAX_RECORDS;
  }

  /** Begins no more batches here; those that began may be repeated. */
  spoil(): void {
    this.#spoiled = true;
  }

  acquire(): void {
    this.#users += 1;
  }

  /** The last user of a spoiled one closes it. */
  release(): void {
    this.#users -= 1;
    if (this.#users === 0 && !this.usable) void this.close();
  }

  async close(): Promise<void> {
    this.#spoiled = true;
    await this.producer.disconnect().catch(() => undefined);
  }

  /** One request: the batches of one leader, or one batch. Never throws. */
  async attempt(batches: readonly SealedBatch[], leader: number | undefined): Promise<Attempt> {
    const topics = new Map<string, SealedMessage[]>();
    for (const { batch, expectation, messages } of batches) {
      expectation.leader = leader;
      this.#records += messages.length;
      const joined = topics.get(batch.topic);
      if (joined) joined.push(...messages);
      else topics.set(batch.topic, [...messages]);
    }
    const topicMessages: TopicMessages[] = [...topics].map(([topic, messages]) => ({ topic, messages }));
    try {
      const answers = await this.producer.sendBatch({ acks: -1, timeout: this.ackTimeoutMs, topicMessages });
      return {
        kind: 'written',
        baseOffsets: new Map(
          answers.map((answer) => [laneName(answer.topicName, answer.partition), Number(answer.baseOffset)]),
        ),
      };
    } catch (error) {
      return readFailure(error, batches.length === 1);
    }
  }
}

export function laneName(topic: string, partition: number): string {
  return `${partition}/${topic}`;
}

export function seal(batch: LaneBatch, nowMs: number): SealedBatch {
  const expectation = { leader: undefined };
  const timestamp = String(Math.trunc(nowMs));
  return {
    batch,
    expectation,
    messages: batch.records.map((record: BusRecord) => ({
      key: record.key,
      value: Buffer.from(record.value.buffer, record.value.byteOffset, record.value.byteLength),
      partition: batch.partition,
      timestamp,
      expectation,
      ...(record.headers ? { headers: record.headers } : {}),
    })),
  };
}

/**
 * The client asks it for each message right before it groups them by leader, with the very metadata that it groups by.
 * So it tells us the leaders, and can stop a send that would go to two brokers: the client can't repeat such a send
 * without writing twice, when one broker answers while the other still works.
 */
function partitioner(leaders: Leaders): (args: PartitionerArgs) => number {
  let known: PartitionerArgs['partitionMetadata'] | undefined;
  return ({ message, partitionMetadata, topic }) => {
    const { expectation, partition } = message as SealedMessage;
    if (known !== partitionMetadata) {
      known = partitionMetadata;
      leaders.update(topic, partitionMetadata);
    }
    if (expectation.leader !== undefined && leaders.of(topic, partition) !== expectation.leader) {
      throw new LeaderMovedError();
    }
    return partition;
  };
}
