import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';
import { HalleyError } from '@halley/protocol/error';
import { openEmbeddedDatabase, type EmbeddedDatabase } from '../embedded-database.js';
import {
  type Bus,
  type BusConsumer,
  type BusRecord,
  type ConsumeOptions,
  type ProduceOptions,
  type Written,
  sumOf,
} from './bus.js';
import { EmbeddedGroup } from './embedded-group.js';
import { EmbeddedLog, type EmbeddedRetention } from './embedded-log.js';
import { EmbeddedMember } from './embedded-member.js';
import { busMetrics, type BusMetrics } from './metrics.js';
import { withPartitions } from './partitioner.js';
import { ProduceQueue, type LaneBatch } from './produce-queue.js';

export interface EmbeddedBusDeps {
  /** An existing folder; the bus keeps `halley.mdb` in it. */
  readonly dataDir: string;
  /** Partitions of every topic; frozen with the file. */
  readonly partitions: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics?: Metrics;
  /** Bytes that may wait for the disk. Default 64 MiB. */
  readonly maxQueuedBytes?: number;
  /** Default: committed records for 10 minutes, any for 7 days, 1,000,000 of a topic. */
  readonly retention?: Partial<EmbeddedRetention>;
  /** How often the retention is applied, in milliseconds. Default 10 s. */
  readonly trimIntervalMs?: number;
}

const DEFAULT_RETENTION: EmbeddedRetention = {
  committedMs: 600_000,
  maxAgeMs: 7 * 86_400_000,
  maxRecords: 1_000_000,
};
const MAX_BATCH_BYTES = 4 * 1_048_576;
const MAX_WAIT_MS = 10_000;

/**
 * The bus in a file of the data folder, for one process: durable without any service. `produce` resolves once the disk
 * has the records, and wakes their readers in the same turn. Topics come to be when they are first used, all with the
 * same number of partitions.
 */
export class EmbeddedBus implements Bus {
  readonly name = 'bus (embedded)';
  readonly #groups = new Map<string, EmbeddedGroup>();
  readonly #members = new Set<EmbeddedMember>();
  readonly #queue: ProduceQueue;
  readonly #metrics: BusMetrics;
  readonly #inFlight = new Set<Promise<void>>();
  #database: EmbeddedDatabase | undefined;
  #storage: EmbeddedLog | undefined;
  #trimming: Promise<void> = Promise.resolve();
  #trimTimer: NodeJS.Timeout | undefined;
  #failed = false;

  constructor(private readonly deps: EmbeddedBusDeps) {
    this.#metrics = busMetrics(deps.metrics);
    this.#queue = new ProduceQueue({
      clock: deps.clock,
      maxQueuedBytes: deps.maxQueuedBytes ?? 64 * 1_048_576,
      maxBatchBytes: MAX_BATCH_BYTES,
      maxWaitMs: MAX_WAIT_MS,
      lingerMs: 0,
      onQueuedBytes: (bytes) => this.#metrics.queuedBytes(bytes),
      send: (batches) => {
        for (const batch of batches) {
          const written = this.#write(batch).finally(() => this.#inFlight.delete(written));
          this.#inFlight.add(written);
        }
      },
    });
  }

  get epoch(): string {
    return this.#open.epoch;
  }

  async start(): Promise<void> {
    this.#database = await openEmbeddedDatabase(this.deps.dataDir);
    this.#storage = new EmbeddedLog(this.#database, this.deps.partitions);
    this.#trimTimer = setInterval(() => {
      this.#trimming = this.#trimming.then(() => this.#trim());
    }, this.deps.trimIntervalMs ?? 10_000);
    this.#trimTimer.unref();
  }

  async stop(deadlineMs: number): Promise<void> {
    const database = this.#database;
    if (!database) return;
    this.#database = undefined;
    clearInterval(this.#trimTimer);
    this.#queue.close();
    await Promise.all([...this.#members].map((member) => member.stop(deadlineMs)));
    await Promise.all(this.#inFlight);
    await this.#trimming;
    this.#storage = undefined;
    await database.release();
  }

  async produce(topic: string, records: readonly BusRecord[], options?: ProduceOptions): Promise<Written[]> {
    if (!this.#database) throw new HalleyError('bus_refused', 'The bus is not running.');
    return this.#queue.produce(topic, withPartitions(records, this.deps.partitions), options);
  }

  async consume(options: ConsumeOptions): Promise<BusConsumer> {
    const storage = this.#open;
    for (const topic of options.topics) await storage.addGroup(options.group, topic);
    let group = this.#groups.get(options.group);
    if (!group) {
      group = new EmbeddedGroup(this.deps.partitions);
      this.#groups.set(options.group, group);
    }
    const joined = group;
    const member = new EmbeddedMember({
      options,
      storage,
      log: this.deps.log,
      onConsumed: (topic, records, bytes) => this.#metrics.consumed(topic, records, bytes),
      leave: (leaving) => {
        this.#members.delete(leaving);
        joined.leave(leaving);
      },
    });
    this.#members.add(member);
    joined.join(member);
    this.#metrics.rebalanced(options.group);
    return member;
  }

  partitions(_topic: string): number {
    return this.deps.partitions;
  }

  async lag(group: string, topic: string): Promise<number> {
    return sumOf(await this.lags(group, topic));
  }

  async lags(group: string, topic: string): Promise<ReadonlyMap<number, number>> {
    const storage = this.#open;
    const lags = new Map<number, number>();
    for (let partition = 0; partition < this.deps.partitions; partition += 1) {
      const start = storage.start(topic, partition);
      const done = Math.max(start, storage.committed(group, topic, partition) ?? start);
      lags.set(partition, storage.end(topic, partition) - done);
    }
    return lags;
  }

  healthy(): boolean {
    return this.#database !== undefined && !this.#failed;
  }

  get #open(): EmbeddedLog {
    if (!this.#storage) throw new HalleyError('internal', 'The embedded bus is not running.');
    return this.#storage;
  }

  async #write(batch: LaneBatch): Promise<void> {
    const { partition, topic } = batch;
    const { clock, log } = this.deps;
    const sinceMs = clock.monotonicMs();
    const count = (outcome: string): void => {
      const seconds = (clock.monotonicMs() - sinceMs) / 1_000;
      this.#metrics.produced(topic, outcome, batch.records.length, batch.bytes, seconds);
    };
    try {
      const base = await this.#open.append(topic, partition, batch.records, clock.now());
      this.#failed = false;
      count('ok');
      batch.done(base);
      for (const group of this.#groups.values()) group.wake({ topic, partition });
    } catch (error) {
      this.#failed = true;
      const failure = HalleyError.from(error);
      log.error({ err: error, topic, partition }, 'records could not be written');
      count(failure.code);
      batch.fail(failure);
    }
  }

  async #trim(): Promise<void> {
    if (!this.#storage) return;
    try {
      const retention = { ...DEFAULT_RETENTION, ...this.deps.retention };
      const lost = await this.#storage.trim(retention, this.deps.clock.now());
      if (lost > 0)
        this.deps.log.warn({ records: lost }, 'the retention removed records that a group had not taken');
    } catch (error) {
      this.deps.log.warn({ err: error }, 'the retention could not be applied, repeating');
    }
  }
}
