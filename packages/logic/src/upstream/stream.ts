import type { Upstream__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Upstream';
import type { Logger } from '@halley/service/log';
import {
  Topic,
  type Bus,
  type BusConsumer,
  type ReadBatch,
  type TopicPartition,
} from '@halley/store/bus/bus';

import type { LogicMetrics } from '../metrics.js';
import { upstreamCodec } from './receive.js';

export interface UpstreamStreamDeps {
  readonly bus: Bus;
  readonly group: string;
  /** Messages that may be sent and not acknowledged at once. */
  readonly window: number;
  /** Resolves when the next may be sent. */
  readonly send: (message: Upstream__Output) => Promise<void>;
  readonly log: Logger;
  readonly metrics: LogicMetrics;
}

/** A record that was handed over. */
interface Sent {
  readonly offset: number;
  done: boolean;
}

/** What is on its way of one partition, in the order of the offsets. */
interface Partition {
  readonly sent: Sent[];
  lastOffset: number;
  /** Everything below is acknowledged and is, or will be, committed. */
  doneBelow: number;
  committing: Promise<void> | undefined;
}

/**
 * One member of a group of businesses that receive what clients send: at least once, and in order per user. What is not
 * acknowledged when it stops is not committed, and so goes to a member of the group again.
 */
export class UpstreamStream {
  readonly #partitions = new Map<number, Partition>();
  /** Where a message with this id is; a producer's retry can have written it twice. */
  readonly #byId = new Map<string, { partition: Partition; number: number; sent: Sent }[]>();
  #unacknowledged = 0;
  #wake: (() => void)[] = [];
  #consumer: BusConsumer | undefined;
  #stopped = false;

  constructor(private readonly deps: UpstreamStreamDeps) {}

  /** Joins the group. Throws what the bus throws. */
  async start(): Promise<void> {
    const consumer = await this.deps.bus.consume({
      group: `halley-upstream-${this.deps.group}`,
      topics: [Topic.Receive],
      onBatch: (batch) => this.#onBatch(batch),
      onRevoked: (partitions) => this.#onRevoked(partitions),
    });
    this.#consumer = consumer;
    if (this.#stopped) await consumer.stop(0);
    for (const [number, partition] of this.#partitions) this.#commit(number, partition);
  }

  /** Takes acknowledgements; unknown ids and repeats are ignored. */
  acknowledge(ids: readonly string[]): void {
    const touched = new Map<number, Partition>();
    for (const id of ids) {
      for (const { partition, number, sent } of this.#byId.get(id) ?? []) {
        sent.done = true;
        this.#unacknowledged -= 1;
        touched.set(number, partition);
      }
      this.#byId.delete(id);
    }
    for (const [number, partition] of touched) this.#advance(number, partition);
    this.#wakeAll();
  }

  /** Leaves the group, once what was acknowledged is committed. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    this.#wakeAll();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, deadlineMs / 2);
    });
    await Promise.race([this.#committed(), late]);
    clearTimeout(timer);
    await this.#consumer?.stop(deadlineMs / 2);
  }

  async #onBatch({ partition: number, records }: ReadBatch): Promise<void> {
    let partition = this.#partitions.get(number);
    if (!partition) {
      partition = { sent: [], lastOffset: -1, doneBelow: -1, committing: undefined };
      this.#partitions.set(number, partition);
    }
    for (const { offset, value } of records) {
      if (offset <= partition.lastOffset) continue;
      while (!this.#stopped && this.#unacknowledged >= this.deps.window) {
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
      // Revoked in the meantime: another member has it.
      if (this.#stopped || this.#partitions.get(number) !== partition) return;
      partition.lastOffset = offset;
      const sent: Sent = { offset, done: false };
      partition.sent.push(sent);
      const message = decode(value, `${number}:${offset}`);
      if (!message) {
        sent.done = true;
        this.deps.metrics.upstreamUndecodable.inc();
        this.deps.log.warn({ partition: number, offset }, 'passed over a record that is no upstream message');
        this.#advance(number, partition);
        continue;
      }
      this.#unacknowledged += 1;
      const same = this.#byId.get(message.id) ?? [];
      same.push({ partition, number, sent });
      this.#byId.set(message.id, same);
      this.deps.metrics.upstreamSent.inc();
      await this.deps.send(message);
    }
  }

  #onRevoked(partitions: readonly TopicPartition[]): void {
    for (const { partition: number } of partitions) {
      const partition = this.#partitions.get(number);
      if (!partition) continue;
      this.#partitions.delete(number);
      for (const [id, places] of this.#byId) {
        const left = places.filter((place) => place.partition !== partition);
        this.#unacknowledged -= places.length - left.length;
        if (left.length === 0) this.#byId.delete(id);
        else this.#byId.set(id, left);
      }
    }
    this.#wakeAll();
  }

  /** Counts as done what is acknowledged without a gap below it. */
  #advance(number: number, partition: Partition): void {
    let done = 0;
    while (partition.sent[done]?.done) done += 1;
    const last = partition.sent[done - 1];
    if (!last) return;
    partition.sent.splice(0, done);
    partition.doneBelow = last.offset + 1;
    this.#commit(number, partition);
  }

  /** One commit at a time; what is done meanwhile goes with the next. */
  #commit(number: number, partition: Partition): void {
    const consumer = this.#consumer;
    const { doneBelow } = partition;
    if (!consumer || partition.committing || doneBelow < 0) return;
    partition.committing = consumer.commit(Topic.Receive, number, doneBelow).then(() => {
      partition.committing = undefined;
      if (partition.doneBelow > doneBelow) this.#commit(number, partition);
    });
  }

  /** Resolves when nothing is being committed: a commit that ends may have begun the next. */
  async #committed(): Promise<void> {
    for (;;) {
      const commits = [...this.#partitions.values()].flatMap(({ committing }) => committing ?? []);
      if (commits.length === 0) return;
      await Promise.all(commits);
    }
  }

  #wakeAll(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }
}

/** What others wrote without an id gets one of its place, to be acknowledged by. */
function decode(value: Uint8Array, place: string): Upstream__Output | undefined {
  try {
    const message = upstreamCodec.decode(value);
    return message.id === '' ? { ...message, id: place } : message;
  } catch {
    return undefined;
  }
}
