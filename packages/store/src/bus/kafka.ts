import type { Admin } from 'kafkajs';
import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';
import {
  type Bus,
  type BusConsumer,
  type BusRecord,
  type ConsumeOptions,
  type ProduceOptions,
  type Written,
  sumOf,
} from './bus.js';
import type { BusConfig } from './config.js';
import { kafkaClient } from './kafka-client.js';
import { KafkaConsumer } from './kafka-consumer.js';
import { Leaders } from './kafka-leaders.js';
import { KafkaProducer } from './kafka-producer.js';
import { halleyTopics, openTopics, type TopicSpec } from './kafka-topics.js';
import { busMetrics, type BusMetrics } from './metrics.js';
import { withPartitions } from './partitioner.js';

export interface KafkaBusDeps {
  readonly config: BusConfig;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics?: Metrics;
  /** The topics that are used. Default: Halley's. */
  readonly topics?: readonly TopicSpec[];
}

const PROBE_MS = 3_000;
const ASK_ATTEMPTS = 6;

/** The bus in Kafka. Its epoch is Kafka's cluster id. */
export class KafkaBus implements Bus {
  readonly name = 'bus (kafka)';
  readonly #leaders = new Leaders();
  readonly #partitions = new Map<string, number>();
  readonly #consumers = new Set<KafkaConsumer>();
  readonly #metrics: BusMetrics;
  #admin: Admin | undefined;
  #producer: KafkaProducer | undefined;
  #epoch: string | undefined;
  #probe: NodeJS.Timeout | undefined;
  #reached = false;

  constructor(private readonly deps: KafkaBusDeps) {
    this.#metrics = busMetrics(deps.metrics);
  }

  get epoch(): string {
    if (this.#epoch === undefined) throw new HalleyError('internal', 'The bus has not started.');
    return this.#epoch;
  }

  async start(): Promise<void> {
    const { clock, config, log } = this.deps;
    const untilMs = clock.monotonicMs() + config.connectTimeoutMs;
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (;;) {
      try {
        await this.#connect();
        break;
      } catch (error) {
        await this.stop(0);
        if (error instanceof HalleyError) throw error;
        if (clock.monotonicMs() >= untilMs) {
          throw new HalleyError(
            'bus_refused',
            `Kafka cannot be reached at ${config.brokers.join(', ')}: ${error instanceof Error ? error.message : String(error)}. Start it, or set bus.brokers.`,
            { cause: error },
          );
        }
        log.info({ brokers: config.brokers }, 'waiting for Kafka');
        await backoff.wait();
      }
    }
    this.#reached = true;
    this.#scheduleProbe();
  }

  async #connect(): Promise<void> {
    const { clock, config, log } = this.deps;
    const makeClient = (): ReturnType<typeof kafkaClient> => kafkaClient(config, log);
    const admin = makeClient().admin();
    this.#admin = admin;
    await admin.connect();
    this.#epoch = (await admin.describeCluster()).clusterId;
    const specs = this.deps.topics ?? halleyTopics(config.partitions);
    for (const { name, partitions } of await openTopics(admin, config, specs, clock)) {
      this.#partitions.set(name, partitions.length);
      this.#leaders.update(name, partitions);
    }
    this.#producer = new KafkaProducer({
      config,
      log,
      clock,
      makeClient,
      metrics: this.#metrics,
      leaders: this.#leaders,
      onOutcome: (reached) => {
        this.#reached = reached;
      },
    });
    await this.#producer.start();
  }

  async stop(deadlineMs: number): Promise<void> {
    clearTimeout(this.#probe);
    const [admin, producer] = [this.#admin, this.#producer];
    this.#producer = undefined;
    this.#reached = false;
    await Promise.all([...this.#consumers].map((consumer) => consumer.stop(deadlineMs)));
    await producer?.stop(deadlineMs);
    this.#admin = undefined;
    await admin?.disconnect().catch(() => undefined);
  }

  async produce(topic: string, records: readonly BusRecord[], options?: ProduceOptions): Promise<Written[]> {
    const producer = this.#producer;
    if (!producer) throw new HalleyError('bus_refused', 'The bus is not running.');
    return producer.produce(topic, withPartitions(records, this.partitions(topic)), options);
  }

  async consume(options: ConsumeOptions): Promise<BusConsumer> {
    const { clock, config, log } = this.deps;
    const consumer = new KafkaConsumer({
      config,
      options,
      log,
      clock,
      metrics: this.#metrics,
      makeClient: () => kafkaClient(config, log),
      startOffsets: (...args) => this.#startOffsets(...args),
      onStopped: (stopped) => this.#consumers.delete(stopped),
    });
    this.#consumers.add(consumer);
    await consumer.start();
    return consumer;
  }

  partitions(topic: string): number {
    const count = this.#partitions.get(topic);
    if (count === undefined)
      throw new HalleyError('internal', `The bus was not started with the topic ${topic}.`);
    return count;
  }

  async lag(group: string, topic: string): Promise<number> {
    return sumOf(await this.lags(group, topic));
  }

  async lags(group: string, topic: string): Promise<ReadonlyMap<number, number>> {
    const [ends, committed] = await this.#ask(() =>
      Promise.all([this.#open.fetchTopicOffsets(topic), this.#committed(group, topic)]),
    );
    return new Map(
      ends.map(({ high, low, partition }) => {
        const start = Number(low);
        return [partition, Math.max(0, Number(high) - Math.max(start, committed.get(partition) ?? start))];
      }),
    );
  }

  healthy(): boolean {
    return this.#producer !== undefined && this.#reached;
  }

  get #open(): Admin {
    if (!this.#admin) throw new HalleyError('internal', 'The bus is not running.');
    return this.#admin;
  }

  async #startOffsets(
    { from, group }: ConsumeOptions,
    topic: string,
    partitions: readonly number[],
  ): Promise<Map<number, number>> {
    const offsets = await this.#committed(group, topic);
    if (partitions.every((partition) => offsets.has(partition))) return offsets;
    for (const { high, low, partition } of await this.#open.fetchTopicOffsets(topic)) {
      if (!offsets.has(partition)) offsets.set(partition, Number(from === 'latest' ? high : low));
    }
    return offsets;
  }

  /** Committed offsets by partition; those without one are left out. */
  async #committed(group: string, topic: string): Promise<Map<number, number>> {
    const [answer] = await this.#open.fetchOffsets({ groupId: group, topics: [topic] });
    const known = (answer?.partitions ?? []).filter(({ offset }) => Number(offset) >= 0);
    return new Map(known.map(({ offset, partition }) => [partition, Number(offset)]));
  }

  /** Asks a few times: a new topic's leader, or one that changes, takes a moment to be known. */
  async #ask<Answer>(question: () => Promise<Answer>): Promise<Answer> {
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await question();
      } catch (error) {
        if (attempt === ASK_ATTEMPTS || !this.#admin) {
          throw new HalleyError('bus_unknown', 'Kafka did not answer.', { cause: error });
        }
        await backoff.wait();
      }
    }
  }

  #scheduleProbe(): void {
    this.#probe = setTimeout(() => {
      const admin = this.#admin;
      if (!admin) return;
      admin
        .describeCluster()
        .then(
          () => {
            this.#reached = true;
          },
          () => {
            this.#reached = false;
          },
        )
        .finally(() => {
          if (this.#admin) this.#scheduleProbe();
        });
    }, PROBE_MS);
    this.#probe.unref();
  }
}
