import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';

import type { RedisLocation } from '../redis/connection.js';
import {
  type Bus,
  type BusConsumer,
  type BusRecord,
  type ConsumeOptions,
  type ProduceOptions,
  RecordsTooLarge,
  sumOf,
  Topic,
  type Written,
} from './bus.js';
import type { BusConfig } from './config.js';
import { halleyTopics, type TopicSpec } from './kafka-topics.js';
import { busMetrics, type BusMetrics } from './metrics.js';
import { withPartitions } from './partitioner.js';
import { recordSize } from './record-size.js';
import { busConnection, redisMessage, type RedisBusConnection } from './redis/client.js';
import { RedisConsumer } from './redis/consumer.js';
import { fieldOf, RedisBusKeys } from './redis/keys.js';
import { redisBusMetrics } from './redis/metrics.js';
import { RedisPartitions } from './redis/partitions.js';
import { RedisProducer } from './redis/producer.js';
import { checkServers } from './redis/server-check.js';
import { openTopics } from './redis/topics.js';
import { RedisTrimmer } from './redis/trimmer.js';
import { RedisWakeups } from './redis/wakeups.js';

/** Where Redis is when `bus.redis.url` is empty: the section `routes`. */
export type RoutesLocation = RedisLocation & { readonly keyPrefix: string };

export interface RedisBusDeps {
  readonly config: BusConfig;
  readonly routes: RoutesLocation;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics?: Metrics;
  /** The topics that are used. Default: Halley's. */
  readonly topics?: readonly TopicSpec[];
  /** About how often committed records are removed, in milliseconds. Default 10 s. */
  readonly trimIntervalMs?: number;
  /**
   * Told once when Redis has lost what the bus held while this process was running: positions that it knows mean nothing
   * any more, so it has to start again. Until then nothing is produced or handed over.
   */
  onLost?(error: HalleyError): void;
}

/** What a record takes beyond its own size. */
const ROOM_AROUND_BYTES = 1_024;

/**
 * The bus in Redis Streams, one a partition. What an OK is worth is what Redis is configured to keep: see
 * docs/guarantees.md. An offset is a record's number in its partition; after a restart or a failover of Redis they go on
 * much higher, so that none is ever given to two records.
 */
export class RedisBus implements Bus {
  readonly name = 'bus (redis)';
  readonly #consumers = new Set<RedisConsumer>();
  readonly #metrics: BusMetrics;
  readonly #keys: RedisBusKeys;
  #open: OpenRedis | undefined;
  #lost = false;
  #stopping = false;

  constructor(private readonly deps: RedisBusDeps) {
    const { config, metrics, routes } = deps;
    this.#metrics = busMetrics(metrics);
    const own = config.redis.keyPrefix;
    this.#keys = new RedisBusKeys(config.redis.url === '' ? routes.keyPrefix + own : own);
  }

  get epoch(): string {
    return this.#running.epoch;
  }

  async start(): Promise<void> {
    const { clock, config, log } = this.deps;
    if (config.redis.maxPartitionBytes < config.maxRecordBytes + ROOM_AROUND_BYTES) {
      throw new HalleyError(
        'bad_config',
        `bus.redis.maxPartitionBytes is ${config.redis.maxPartitionBytes}, and a record may have ${config.maxRecordBytes} (bus.maxRecordBytes): make it larger than that`,
      );
    }
    const untilMs = clock.monotonicMs() + config.connectTimeoutMs;
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (;;) {
      try {
        this.#open = await this.#connect();
        return;
      } catch (error) {
        if (error instanceof HalleyError && error.code === 'bad_config') throw error;
        if (this.#stopping || clock.monotonicMs() >= untilMs) {
          throw new HalleyError(
            'bus_refused',
            `Redis cannot be used as the bus: ${redisMessage(error)}. Start it, or set bus.redis.url.`,
            { cause: error },
          );
        }
        log.info({ err: redisMessage(error) }, 'waiting for Redis');
        await backoff.wait();
      }
    }
  }

  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    const open = this.#open;
    if (!open) return;
    await Promise.all([
      open.producer.stop(deadlineMs),
      ...[...this.#consumers].map((consumer) => consumer.stop(deadlineMs)),
    ]);
    this.#open = undefined;
    await open.trimmer.stop(deadlineMs);
    close(open);
  }

  async produce(topic: string, records: readonly BusRecord[], options?: ProduceOptions): Promise<Written[]> {
    if (!this.#open || this.#stopping) throw new HalleyError('bus_refused', 'The bus is not running.');
    if (this.#lost) throw lostError();
    const { maxRecordBytes } = this.deps.config;
    if (records.some((record) => recordSize(record) > maxRecordBytes)) throw new RecordsTooLarge(1);
    return this.#open.producer.produce(topic, withPartitions(records, this.partitions(topic)), options);
  }

  async consume(options: ConsumeOptions): Promise<BusConsumer> {
    const { clock, config, log } = this.deps;
    const { connection, partitions, wakeups } = this.#running;
    const consumer = new RedisConsumer({
      options,
      connection,
      keys: this.#keys,
      partitions,
      wakeups,
      leaseMs: config.sessionTimeoutMs,
      heartbeatMs: config.heartbeatMs,
      log,
      clock,
      metrics: this.#metrics,
      countOf: (topic) => this.partitions(topic),
      onStopped: (stopped) => this.#consumers.delete(stopped),
    });
    this.#consumers.add(consumer);
    await consumer.start();
    return consumer;
  }

  partitions(topic: string): number {
    const count = this.#running.counts.get(topic);
    if (count === undefined)
      throw new HalleyError('internal', `The bus was not started with the topic ${topic}.`);
    return count;
  }

  async lag(group: string, topic: string): Promise<number> {
    return sumOf(await this.lags(group, topic));
  }

  async lags(group: string, topic: string): Promise<ReadonlyMap<number, number>> {
    const { connection, partitions } = this.#running;
    try {
      const commits = await connection.guard(() => connection.redis.hgetall(this.#keys.commits(group)));
      const lags = await Promise.all(
        Array.from({ length: this.partitions(topic) }, async (_, partition): Promise<[number, number]> => {
          const { end, kept, start } = await partitions.bounds({ topic, partition });
          const done = Math.max(start, Number(commits[fieldOf(topic, partition)] ?? start));
          // Offsets skip after a restart of Redis: no more than is there can be behind.
          return [partition, Math.max(0, Math.min(end - done, kept))];
        }),
      );
      return new Map(lags);
    } catch (error) {
      throw new HalleyError('bus_unknown', 'Redis did not answer.', { cause: error });
    }
  }

  healthy(): boolean {
    const open = this.#open;
    return open !== undefined && !this.#lost && open.connection.healthy() && open.writing.healthy();
  }

  /** Removes what may go now; it happens by itself every so often. */
  async trim(): Promise<void> {
    await this.#running.trimmer.trimAll();
  }

  get #running(): OpenRedis {
    if (!this.#open) throw new HalleyError('internal', 'The bus is not running.');
    return this.#open;
  }

  async #connect(): Promise<OpenRedis> {
    const { clock, config, log, routes } = this.deps;
    const { commandTimeoutMs, url } = config.redis;
    const location = { ...(url === '' ? routes : config.redis), commandTimeoutMs };
    const connection = busConnection(location, 'the bus in Redis', log);
    const writing = busConnection(location, 'the bus in Redis, for writing,', log);
    const wakeups = new RedisWakeups(location, log);
    try {
      await connection.start();
      await writing.start();
      await wakeups.start();
      // goim's producers can't write here.
      const topics =
        this.deps.topics ?? halleyTopics(config.partitions).filter(({ name }) => name !== Topic.GoimPush);
      await this.#check(connection, topics);
      const { epoch, partitions: counts } = await openTopics(connection, this.#keys, topics, log);
      const trimmer = new RedisTrimmer({
        config,
        connection,
        keys: this.#keys,
        topics: counts,
        log,
        clock,
        metrics: redisBusMetrics(this.deps.metrics),
        intervalMs: this.deps.trimIntervalMs ?? 10_000,
      });
      await trimmer.start();
      const shared = { keys: this.#keys, epoch: () => epoch, onLost: () => this.#onLost() };
      const partitions = new RedisPartitions({ ...shared, connection });
      const producer = new RedisProducer({
        ...shared,
        connection: writing,
        config,
        log,
        clock,
        metrics: this.#metrics,
        makeRoom: (topic, partition) => trimmer.makeRoom(topic, partition),
      });
      return { epoch, counts, connection, writing, wakeups, trimmer, partitions, producer };
    } catch (error) {
      close({ connection, writing, wakeups });
      throw error;
    }
  }

  async #check(connection: RedisBusConnection, topics: readonly TopicSpec[]): Promise<void> {
    const { config, log } = this.deps;
    const { fsync, maxPartitionBytes, replicas } = config.redis;
    const partitions = topics.reduce((sum, topic) => sum + topic.partitions, 0);
    const needs = { fsync, replicas, maxBytes: partitions * maxPartitionBytes };
    await checkServers(connection.redis, needs, log);
  }

  #onLost(): void {
    if (this.#lost) return;
    this.#lost = true;
    const error = lostError();
    this.deps.log.error({ epoch: this.epoch }, error.message);
    this.deps.onLost?.(error);
  }
}

interface Connections {
  /** For everything but produce: a produce may wait for replicas, and holds its connection up. */
  readonly connection: RedisBusConnection;
  readonly writing: RedisBusConnection;
  readonly wakeups: RedisWakeups;
}

interface OpenRedis extends Connections {
  readonly epoch: string;
  /** Partitions by topic. */
  readonly counts: ReadonlyMap<string, number>;
  readonly trimmer: RedisTrimmer;
  readonly partitions: RedisPartitions;
  readonly producer: RedisProducer;
}

function close({ connection, wakeups, writing }: Connections): void {
  connection.stop();
  writing.stop();
  wakeups.stop();
}

function lostError(): HalleyError {
  return new HalleyError(
    'bus_refused',
    'Redis has lost what the bus held: pushes that were accepted and not archived are gone, and every logic and job has to start again.',
  );
}
