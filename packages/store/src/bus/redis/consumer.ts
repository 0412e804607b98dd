import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

import type { BusConsumer, ConsumeOptions, TopicPartition } from '../bus.js';
import { Commits } from '../commits.js';
import type { BusMetrics } from '../metrics.js';
import { within } from '../within.js';
import type { RedisBusConnection } from './client.js';
import { RedisGroup, type Owned } from './group.js';
import type { RedisBusKeys } from './keys.js';
import { RedisLane } from './lane.js';
import type { RedisPartitions } from './partitions.js';
import type { RedisWakeups } from './wakeups.js';

export interface RedisConsumerDeps {
  readonly options: ConsumeOptions;
  readonly connection: RedisBusConnection;
  readonly keys: RedisBusKeys;
  readonly partitions: RedisPartitions;
  readonly wakeups: RedisWakeups;
  /** A member that is silent so long loses its partitions. */
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: BusMetrics;
  countOf(topic: string): number;
  onStopped(consumer: RedisConsumer): void;
}

/** How often a group tells that it is still there. */
const SEEN_MS = 60_000;
/** What Redis gets to hear that a member leaves; it would find out by the lease. */
const LEAVE_MS = 1_000;

/** One member of a group: holds a lease, and a lane for each partition that it owns. */
export class RedisConsumer implements BusConsumer {
  readonly #group: RedisGroup;
  readonly #commits: Commits<RedisLane>;
  readonly #lanes = new Map<string, RedisLane>();
  /** Runs of lanes, by partition: those of earlier ownerships may still be in their handler. */
  readonly #runs = new Map<string, Promise<void>>();
  readonly #listening: (() => void)[] = [];
  readonly #stopped = new AbortController();
  #beating: Promise<void> = Promise.resolve();
  #hurry = new AbortController();
  #leaseUntilMs = -Infinity;
  #leaseEnd: NodeJS.Timeout | undefined;
  #seenAtMs = -Infinity;
  #state: 'joining' | 'member' | 'stopping' | 'stopped' = 'joining';

  constructor(private readonly deps: RedisConsumerDeps) {
    const { connection, heartbeatMs, keys, leaseMs, log, options } = deps;
    this.#group = new RedisGroup({
      connection,
      keys,
      group: options.group,
      member: randomUUID(),
      topics: options.topics.map((name) => ({ name, partitions: deps.countOf(name) })),
      leaseMs,
      heartbeatMs,
    });
    this.#commits = new Commits({
      log,
      store: (offsets) => this.#group.commit(offsets.map(({ lane, offset }) => ({ ...lane.at, offset }))),
      current: (lane) => this.#lanes.get(nameOf(lane.at)) === lane,
    });
  }

  /** Resolves when it has joined, however long Redis is away. */
  async start(): Promise<void> {
    const { keys, options } = this.deps;
    this.#listen(keys.changes(options.group), () => this.#hurry.abort());
    for (const topic of options.topics)
      this.#listen(keys.newRecords(topic), (partition) => this.#wake(topic, partition));
    await new Promise<void>((resolve) => {
      this.#beating = this.#beat(resolve).finally(resolve);
    });
  }

  async commit(topic: string, partition: number, offset: number): Promise<void> {
    const lane = this.#lanes.get(nameOf({ topic, partition }));
    if (lane) await this.#commits.commit(lane, offset);
  }

  seek(topic: string, partition: number, offset: number): void {
    this.#lanes.get(nameOf({ topic, partition }))?.seek(offset);
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
    return this.#state === 'member' && this.#holds();
  }

  /** The lease is renewed for as long as handlers are waited for. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#isStopping()) return this.#beating;
    this.#state = 'stopping';
    for (const lane of this.#lanes.values()) lane.close();
    const until = performance.now() + deadlineMs;
    await within(Promise.all(this.#runs.values()), deadlineMs);
    await within(this.#commits.idle(), Math.max(0, until - performance.now()));
    this.#state = 'stopped';
    clearTimeout(this.#leaseEnd);
    this.#stopped.abort();
    this.#hurry.abort();
    for (const end of this.#listening) end();
    await this.#beating;
    this.#drop([...this.#lanes.values()]);
    await within(
      this.#group.leave().catch(() => undefined),
      LEAVE_MS,
    );
    this.deps.onStopped(this);
  }

  #listen(channel: string, listener: (message: string | undefined) => void): void {
    this.deps.wakeups.listen(channel, listener);
    this.#listening.push(() => this.deps.wakeups.unlisten(channel, listener));
  }

  #wake(topic: string, partition: string | undefined): void {
    if (partition !== undefined) this.#lanes.get(`${partition}/${topic}`)?.wake();
    else for (const lane of this.#lanes.values()) if (lane.at.topic === topic) lane.wake();
  }

  async #beat(joined: () => void): Promise<void> {
    const { clock, heartbeatMs, log, options } = this.deps;
    while (!this.#stopped.signal.aborted) {
      this.#hurry = new AbortController();
      const sentAtMs = clock.monotonicMs();
      try {
        await this.#seen(sentAtMs);
        const owned = await this.#group.beat();
        this.#renew(sentAtMs);
        await this.#take(owned);
        if (this.#state === 'joining') {
          this.#state = 'member';
          joined();
        }
      } catch (error) {
        log.debug({ err: error, group: options.group }, 'a heartbeat was not answered');
      }
      const { signal } = this.#hurry;
      await sleep(heartbeatMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** The lease ends on time, whatever the next heartbeat waits for. */
  #renew(sentAtMs: number): void {
    const { clock, leaseMs, log, options } = this.deps;
    this.#leaseUntilMs = sentAtMs + leaseMs;
    clearTimeout(this.#leaseEnd);
    this.#leaseEnd = setTimeout(() => {
      if (this.#lanes.size === 0) return;
      log.warn({ group: options.group }, 'the lease ran out: Redis did not answer');
      this.#drop([...this.#lanes.values()]);
    }, this.#leaseUntilMs - clock.monotonicMs()).unref();
  }

  async #seen(nowMs: number): Promise<void> {
    if (nowMs - this.#seenAtMs < SEEN_MS) return;
    await this.#group.seen();
    this.#seenAtMs = nowMs;
  }

  /** Takes over what is owned now, and gives up what is another's. */
  async #take(owned: readonly Owned[]): Promise<void> {
    const { metrics, options } = this.deps;
    const stays = new Set(owned.filter(({ leaves }) => !leaves).map(nameOf));
    const gone = [...this.#lanes.values()].filter((lane) => !stays.has(nameOf(lane.at)));
    if (gone.length > 0) {
      metrics.rebalanced(options.group);
      this.#drop(gone);
    }
    const leaving = owned.filter(({ leaves }) => leaves);
    if (leaving.length > 0) await this.#group.release(leaving);
    const fresh = owned.filter((at) => !at.leaves && !this.#lanes.has(nameOf(at)));
    if (fresh.length === 0 || this.#isStopping()) return;
    const starts = await this.#starts(fresh);
    if (this.#isStopping()) return;
    metrics.rebalanced(options.group);
    this.#open(
      fresh.map(({ partition, topic }, index) => ({ at: { topic, partition }, start: starts[index]! })),
    );
  }

  /** Where to begin: what was committed; for a group that is new there, as its options say. That is committed then. */
  async #starts(partitions: readonly TopicPartition[]): Promise<number[]> {
    const committed = await this.#group.committed(partitions);
    const unknown = partitions.filter((_, index) => committed[index] === undefined);
    if (unknown.length === 0) return committed.map((offset) => offset ?? 0);
    const bounds = await Promise.all(unknown.map((at) => this.deps.partitions.bounds(at)));
    const begin = bounds.map(({ end, start }) => (this.deps.options.from === 'latest' ? end : start));
    await this.#group.commit(unknown.map((at, index) => ({ ...at, offset: begin[index]! })));
    return committed.map((offset) => offset ?? begin.shift() ?? 0);
  }

  #open(fresh: readonly { readonly at: TopicPartition; readonly start: number }[]): void {
    const { log, metrics, options, partitions } = this.deps;
    const lanes = fresh.map(
      ({ at, start }) =>
        new RedisLane(at, start, {
          log,
          onBatch: (batch) => options.onBatch(batch),
          read: (where, offset) => partitions.read(where, offset),
          holds: () => this.#holds(),
          onConsumed: ({ records, topic }) => {
            const bytes = records.reduce((sum, { value }) => sum + value.byteLength, 0);
            metrics.consumed(topic, records.length, bytes);
          },
        }),
    );
    for (const lane of lanes) this.#lanes.set(nameOf(lane.at), lane);
    options.onAssigned?.(lanes.map((lane) => lane.at));
    // Not before whoever called `consume` holds the consumer.
    setImmediate(() => {
      for (const lane of lanes) {
        const name = nameOf(lane.at);
        const run = lane.run(this.#runs.get(name) ?? Promise.resolve()).finally(() => {
          if (this.#runs.get(name) === run) this.#runs.delete(name);
        });
        this.#runs.set(name, run);
      }
    });
  }

  #drop(lanes: readonly RedisLane[]): void {
    for (const lane of lanes) {
      lane.close();
      this.#lanes.delete(nameOf(lane.at));
    }
    if (lanes.length > 0) this.deps.options.onRevoked?.(lanes.map((lane) => lane.at));
  }

  #isStopping(): boolean {
    return this.#state === 'stopping' || this.#state === 'stopped';
  }

  /** By this process's clock, from before the heartbeat was sent: it ends earlier than for Redis. */
  #holds(): boolean {
    return this.deps.clock.monotonicMs() < this.#leaseUntilMs;
  }
}

function nameOf({ partition, topic }: TopicPartition): string {
  return `${partition}/${topic}`;
}
