import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';
import type { BusConsumer, ConsumeOptions, TopicPartition } from './bus.js';
import type { EmbeddedLog } from './embedded-log.js';
import { within } from './within.js';

const MAX_BATCH_RECORDS = 1_024;
const MAX_BATCH_BYTES = 1_048_576;

export interface EmbeddedMemberDeps {
  readonly options: ConsumeOptions;
  readonly storage: EmbeddedLog;
  readonly log: Logger;
  /** Takes the member out of its group, which gives its partitions to the others. */
  leave(member: EmbeddedMember): void;
  onConsumed?(topic: string, records: number, bytes: number): void;
}

/** One consumer of a group of the embedded bus: a reader per partition that it owns. */
export class EmbeddedMember implements BusConsumer {
  readonly #readers = new Map<string, PartitionReader>();
  readonly #running = new Set<Promise<void>>();
  #stopped = false;

  constructor(private readonly deps: EmbeddedMemberDeps) {}

  get topics(): readonly string[] {
    return this.deps.options.topics;
  }

  /** Takes over what the group assigned, and lets go of the rest. The group calls `release` on all members first. */
  release(keep: readonly TopicPartition[]): void {
    const kept = new Set(keep.map(nameOf));
    const revoked = [...this.#readers.values()].filter((reader) => !kept.has(nameOf(reader.at)));
    for (const reader of revoked) {
      reader.end();
      this.#readers.delete(nameOf(reader.at));
    }
    if (revoked.length > 0) this.deps.options.onRevoked?.(revoked.map((reader) => reader.at));
  }

  acquire(assigned: readonly TopicPartition[]): void {
    const fresh = assigned.filter((at) => !this.#readers.has(nameOf(at)));
    if (fresh.length === 0) return;
    const readers = fresh.map((at) => new PartitionReader(at, this.#startOffset(at), this.deps));
    for (const reader of readers) this.#readers.set(nameOf(reader.at), reader);
    this.deps.options.onAssigned?.(fresh);
    // Not before whoever called `consume` holds the consumer.
    setImmediate(() => {
      for (const reader of readers) {
        const running = reader.run().finally(() => this.#running.delete(running));
        this.#running.add(running);
      }
    });
  }

  /** Says that a partition has new records. */
  wake(at: TopicPartition): void {
    this.#readers.get(nameOf(at))?.wake();
  }

  async commit(topic: string, partition: number, offset: number): Promise<void> {
    if (!this.#readers.has(nameOf({ topic, partition }))) return;
    const backoff = new Backoff({ baseMs: 50, maxMs: 2_000 });
    for (;;) {
      try {
        await this.deps.storage.commit(this.deps.options.group, topic, partition, offset);
        return;
      } catch (error) {
        this.deps.log.warn({ err: error, topic, partition }, 'commit failed, repeating');
        await backoff.wait();
        if (!this.#readers.has(nameOf({ topic, partition }))) return;
      }
    }
  }

  seek(topic: string, partition: number, offset: number): void {
    this.#readers.get(nameOf({ topic, partition }))?.seek(offset);
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.#readers.get(nameOf(at))?.pause(true);
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.#readers.get(nameOf(at))?.pause(false);
  }

  assigned(): readonly TopicPartition[] {
    return [...this.#readers.values()].map((reader) => reader.at);
  }

  healthy(): boolean {
    return !this.#stopped;
  }

  async stop(deadlineMs: number): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    for (const reader of this.#readers.values()) reader.end();
    await within(Promise.all(this.#running), deadlineMs);
    this.deps.leave(this);
  }

  #startOffset({ topic, partition }: TopicPartition): number {
    const { options, storage } = this.deps;
    return (
      storage.committed(options.group, topic, partition) ??
      (options.from === 'latest' ? storage.end(topic, partition) : 0)
    );
  }
}

function nameOf({ partition, topic }: TopicPartition): string {
  return `${partition}/${topic}`;
}

/** Hands a partition's batches to the handler one after another, until it is told to end. */
class PartitionReader {
  readonly #end = new AbortController();
  #wake: (() => void) | undefined;
  #paused = false;
  #position: number;
  /** Counts seeks, so that a batch that was read before one is not the reason to go on behind it. */
  #seeks = 0;

  constructor(
    readonly at: TopicPartition,
    start: number,
    private readonly deps: EmbeddedMemberDeps,
  ) {
    this.#position = start;
  }

  async run(): Promise<void> {
    const { partition, topic } = this.at;
    while (!this.#end.signal.aborted) {
      const records = this.#paused
        ? []
        : this.deps.storage.read(topic, partition, this.#position, MAX_BATCH_RECORDS, MAX_BATCH_BYTES);
      const last = records.at(-1);
      if (!last) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const seeks = this.#seeks;
      const highWatermark = this.deps.storage.end(topic, partition);
      if (await this.#hand({ topic, partition, records, highWatermark }, seeks))
        this.#position = last.offset + 1;
    }
  }

  /** Hands a batch over until the handler takes it; false when a seek or the end came first. */
  async #hand(batch: Parameters<ConsumeOptions['onBatch']>[0], seeks: number): Promise<boolean> {
    const backoff = new Backoff({ baseMs: 50, maxMs: 2_000 });
    while (!this.#end.signal.aborted && seeks === this.#seeks) {
      try {
        await this.deps.options.onBatch(batch);
        this.deps.onConsumed?.(
          batch.topic,
          batch.records.length,
          batch.records.reduce((sum, record) => sum + record.value.byteLength, 0),
        );
        return seeks === this.#seeks;
      } catch (error) {
        const { partition, topic } = this.at;
        this.deps.log.warn({ err: error, topic, partition }, 'a batch was not taken, repeating');
        await backoff.wait(this.#end.signal);
      }
    }
    return false;
  }

  wake(): void {
    this.#wake?.();
  }

  seek(offset: number): void {
    this.#position = offset;
    this.#seeks += 1;
    this.wake();
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.wake();
  }

  end(): void {
    this.#end.abort();
    this.wake();
  }
}
