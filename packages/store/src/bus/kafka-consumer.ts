import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { BusConsumer, ConsumeOptions, TopicPartition } from './bus.js';
import { Commits } from './commits.js';
import type { BusConfig } from './config.js';
import { laneName } from './kafka-generation.js';
import { KafkaLane } from './kafka-lane.js';
import { levelOfEnd } from './kafka-log.js';
import { readRecords } from './kafka-records.js';
import { KafkaWatch } from './kafka-watch.js';
import type { BusMetrics } from './metrics.js';
import { within } from './within.js';

export interface KafkaConsumerDeps {
  readonly config: BusConfig;
  readonly options: ConsumeOptions;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: BusMetrics;
  makeClient(): Kafka;
  /** Where a group goes on: what it committed, else the earliest or latest record. */
  startOffsets(
    options: ConsumeOptions,
    topic: string,
    partitions: readonly number[],
  ): Promise<Map<number, number>>;
  onStopped(consumer: KafkaConsumer): void;
}

/** A client that neither fetched nor sent a heartbeat for so many sessions is given up. */
const SILENT_SESSIONS = 4;
const REBALANCE_TIMEOUT_MS = 15_000;
const DISCONNECT_MS = 5_000;
const LEAST_DISCONNECT_MS = 500;

/**
 * A member of a consumer group. The client under it is supervised: when it crashes, is refused by its group or falls
 * silent, it is made anew, until `stop`. Each assignment begins new lanes at the committed offsets.
 */
export class KafkaConsumer implements BusConsumer {
  readonly #lanes = new Map<string, KafkaLane>();
  /** By partition: the handler of its lane, also of one that is closed. */
  readonly #running = new Map<string, Promise<void>>();
  readonly #commits: Commits<KafkaLane>;
  readonly #stopped = new AbortController();
  readonly #joined: Promise<void>;
  #markJoined: () => void = () => {};
  #supervision: Promise<void> | undefined;
  #client: Consumer | undefined;
  #watch: KafkaWatch | undefined;
  /** Commits that the client told of. */
  #stored = 0;
  #disconnectMs = DISCONNECT_MS;
  /** Clients that ended since the group was joined last. */
  #ends = 0;

  constructor(private readonly deps: KafkaConsumerDeps) {
    this.#joined = new Promise((resolve) => {
      this.#markJoined = resolve;
    });
    this.#commits = new Commits({
      log: deps.log,
      store: (offsets) => this.#store(offsets),
      current: (lane) => this.#lanes.get(nameOf(lane.at)) === lane,
    });
  }

  /** Joins; resolves when the first assignment is there (or `stop` came first). */
  async start(): Promise<void> {
    this.#supervision = this.#supervise();
    await this.#joined;
  }

  async commit(topic: string, partition: number, offset: number): Promise<void> {
    const lane = this.#lanes.get(laneName(topic, partition));
    if (lane) await this.#commits.commit(lane, offset);
  }

  seek(topic: string, partition: number, offset: number): void {
    this.#lanes.get(laneName(topic, partition))?.seek(offset);
  }

  pause(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.#lanes.get(nameOf(at))?.pause(true);
  }

  resume(partitions: readonly TopicPartition[]): void {
    for (const at of partitions) this.#lanes.get(nameOf(at))?.pause(false);
  }

  assigned(): readonly TopicPartition[] {
    return [...this.#lanes.values()].map((lane) => lane.at);
  }

  healthy(): boolean {
    const silentMs = this.#watch?.silentMs() ?? Infinity;
    return (
      !this.#stopped.signal.aborted &&
      this.#client !== undefined &&
      silentMs < 2 * this.deps.config.sessionTimeoutMs
    );
  }

  async stop(deadlineMs: number): Promise<void> {
    if (!this.#stopped.signal.aborted) {
      for (const lane of this.#lanes.values()) lane.close();
      const untilMs = this.deps.clock.monotonicMs() + deadlineMs;
      const remainingMs = (): number => Math.max(0, untilMs - this.deps.clock.monotonicMs());
      await within(Promise.all(this.#running.values()), remainingMs());
      await within(this.#commits.idle(), Math.min(1_000, remainingMs()));
      this.#disconnectMs = Math.max(LEAST_DISCONNECT_MS, remainingMs());
      this.#stopped.abort();
    }
    await this.#supervision;
    this.#revoke();
    this.#markJoined();
    this.deps.onStopped(this);
  }

  async #supervise(): Promise<void> {
    const { log, metrics, options } = this.deps;
    const backoff = new Backoff({ baseMs: 200, maxMs: 5_000 });
    while (!this.#stopped.signal.aborted) {
      try {
        await this.#serve(backoff);
      } catch (error) {
        this.#ends += 1;
        const level = levelOfEnd(error, this.#ends);
        log[level]({ err: error, group: options.group }, 'the consumer ended, making it anew');
      }
      if (this.#stopped.signal.aborted) return;
      this.#revoke();
      metrics.consumerRestarted(options.group);
      await backoff.wait(this.#stopped.signal);
    }
  }

  /** One client, from its start until it ends or `stop`. */
  async #serve(backoff: Backoff): Promise<void> {
    const { config, options } = this.deps;
    const client = this.deps.makeClient().consumer({
      groupId: options.group,
      sessionTimeout: config.sessionTimeoutMs,
      rebalanceTimeout: REBALANCE_TIMEOUT_MS,
      heartbeatInterval: config.heartbeatMs,
      maxWaitTimeInMs: config.fetchWaitMs,
      minBytes: 1,
      allowAutoTopicCreation: false,
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 5, restartOnFailure: async () => false },
    });
    const watch = new KafkaWatch(client, this.deps.clock, SILENT_SESSIONS * config.sessionTimeoutMs);
    try {
      this.#listen(client, watch, backoff);
      await client.connect();
      // Earliest for the client: where a group begins is decided on assignment, and a gap must not skip anything.
      await client.subscribe({ topics: [...options.topics], fromBeginning: true });
      this.#client = client;
      await client.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: 16,
        eachBatch: async (payload) => this.#take(payload),
      });
      await watch.ended(this.#stopped.signal);
    } finally {
      this.#client = undefined;
      watch.close();
      await within(
        client.disconnect().catch(() => undefined),
        this.#disconnectMs,
      );
    }
  }

  #listen(client: Consumer, watch: KafkaWatch, backoff: Backoff): void {
    this.#watch = watch;
    client.on(client.events.COMMIT_OFFSETS, () => (this.#stored += 1));
    client.on(client.events.GROUP_JOIN, ({ payload }) => {
      backoff.reset();
      this.#ends = 0;
      this.#assign(client, payload.memberAssignment);
    });
  }

  #assign(client: Consumer, assignment: Readonly<Record<string, readonly number[]>>): void {
    if (this.#client !== client) return;
    this.#revoke();
    const lanes: KafkaLane[] = [];
    for (const [topic, partitions] of Object.entries(assignment)) {
      // Nothing is fetched before it is known from where.
      client.pause([{ topic, partitions: [...partitions] }]);
      for (const partition of partitions) lanes.push(this.#makeLane(client, { topic, partition }));
    }
    for (const lane of lanes) this.#lanes.set(nameOf(lane.at), lane);
    this.deps.metrics.rebalanced(this.deps.options.group);
    if (lanes.length > 0) this.deps.options.onAssigned?.(lanes.map((lane) => lane.at));
    void this.#begin(lanes, assignment);
  }

  async #begin(
    lanes: readonly KafkaLane[],
    assignment: Readonly<Record<string, readonly number[]>>,
  ): Promise<void> {
    const { log, options } = this.deps;
    const backoff = new Backoff({ baseMs: 50, maxMs: 1_000 });
    const current = (lane: KafkaLane): boolean => this.#lanes.get(nameOf(lane.at)) === lane;
    for (const [topic, partitions] of Object.entries(assignment)) {
      while (lanes.some(current)) {
        try {
          const offsets = await this.deps.startOffsets(options, topic, partitions);
          for (const lane of lanes.filter((each) => each.at.topic === topic && current(each))) {
            lane.begin(offsets.get(lane.at.partition) ?? 0);
          }
          break;
        } catch (error) {
          log.debug({ err: error, topic }, 'no start offsets, repeating');
          await backoff.wait(this.#stopped.signal);
        }
      }
    }
    this.#markJoined();
    // Not before whoever called `consume` holds the consumer.
    setImmediate(() => {
      for (const lane of lanes) if (current(lane)) this.#run(lane);
    });
  }

  #makeLane(client: Consumer, at: TopicPartition): KafkaLane {
    const { log, metrics, options } = this.deps;
    const { partition, topic } = at;
    return new KafkaLane(at, {
      log,
      onBatch: (batch) => options.onBatch(batch),
      fetch: (wanted) => {
        if (this.#client !== client) return;
        if (wanted) client.resume([{ topic, partitions: [partition] }]);
        else client.pause([{ topic, partitions: [partition] }]);
      },
      seek: (offset) => {
        if (this.#client === client) client.seek({ topic, partition, offset: String(offset) });
      },
      onConsumed: (records, bytes) => metrics.consumed(topic, records, bytes),
    });
  }

  #run(lane: KafkaLane): void {
    const name = nameOf(lane.at);
    const predecessor = this.#running.get(name) ?? Promise.resolve();
    const running = lane.run(predecessor).finally(() => {
      if (this.#running.get(name) === running) this.#running.delete(name);
    });
    this.#running.set(name, running);
  }

  #take(fetched: EachBatchPayload): void {
    const { batch } = fetched;
    const lane = this.#lanes.get(laneName(batch.topic, batch.partition));
    if (!lane || fetched.isStale()) return;
    const { bytes, records } = readRecords(batch.messages);
    // The client's type leaves out where the batch was fetched from.
    const { fetchedOffset } = batch as typeof batch & { readonly fetchedOffset: string };
    if (lane.offer(Number(fetchedOffset), records, bytes, Number(batch.highWatermark))) {
      fetched.resolveOffset(batch.lastOffset());
    }
  }

  async #store(offsets: readonly { readonly lane: KafkaLane; readonly offset: number }[]): Promise<void> {
    const before = this.#stored;
    await this.#client?.commitOffsets(
      offsets.map(({ lane, offset }) => ({ ...lane.at, offset: String(offset) })),
    );
    // The call resolves as well when the client is not running and did nothing.
    if (this.#stored === before) throw new Error('the client did not commit');
  }

  #revoke(): void {
    const lanes = [...this.#lanes.values()];
    if (lanes.length === 0) return;
    for (const lane of lanes) lane.close();
    this.#lanes.clear();
    this.deps.options.onRevoked?.(lanes.map((lane) => lane.at));
  }
}

function nameOf({ partition, topic }: TopicPartition): string {
  return laneName(topic, partition);
}
