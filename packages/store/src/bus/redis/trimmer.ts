import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { Rounds } from '@halley/service/rounds';

import { Topic, type TopicPartition } from '../bus.js';
import type { BusConfig } from '../config.js';
import { within } from '../within.js';
import type { RedisBusConnection } from './client.js';
import { fieldOf, partitionOf, type RedisBusKeys } from './keys.js';
import type { RedisBusMetrics } from './metrics.js';

export interface RedisTrimmerDeps {
  readonly config: BusConfig;
  readonly connection: RedisBusConnection;
  readonly keys: RedisBusKeys;
  readonly topics: ReadonlyMap<string, number>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: RedisBusMetrics;
  readonly intervalMs: number;
}

/** Topics whose oldest records go when nobody has ever read them, or not for long: pushes wait for job, whatever comes. */
const MAY_GO_UNREAD: ReadonlySet<string> = new Set([Topic.Receive, Topic.Events, Topic.Dead]);
/** Records of one script call, which holds everything else up. */
const STEP = 2_000;
const FORGET_PRODUCERS_MS = 3_600_000;
const TELL_MS = 10_000;

/** Up to where the groups of a topic have committed each partition. */
type Bounds = ReadonlyMap<number, number> | 'no group';

/** Removes what every group has committed; one process does it at a time, once in half of the interval at most. */
export class RedisTrimmer {
  readonly #rounds: Rounds;
  #toldAtMs = -Infinity;
  readonly #hurried = new Map<string, Promise<boolean>>();

  constructor(private readonly deps: RedisTrimmerDeps) {
    this.#rounds = new Rounds({
      name: 'trimmer of the bus',
      everyMs: deps.intervalMs,
      round: () => this.#inTurn(),
      onFailure: (error) => deps.log.debug({ err: error }, 'the bus was not trimmed, repeating'),
    });
  }

  async start(): Promise<void> {
    await this.#rounds.start();
  }

  /** Waits for what is being trimmed. */
  async stop(deadlineMs: number): Promise<void> {
    await Promise.all([
      this.#rounds.stop(deadlineMs),
      within(Promise.all(this.#hurried.values()), deadlineMs),
    ]);
  }

  /** Trims one partition that is full at once; false when nothing of it can go. */
  makeRoom(topic: string, partition: number): Promise<boolean> {
    const name = `${partition}/${topic}`;
    let hurried = this.#hurried.get(name);
    if (!hurried) {
      hurried = this.#bounds(topic)
        .then((bounds) => this.#trim({ topic, partition }, bounds))
        .then(
          ({ removed }) => {
            if (removed === 0) void this.#tellWhoHolds(topic, partition);
            return removed > 0;
          },
          () => false,
        )
        .finally(() => this.#hurried.delete(name));
      this.#hurried.set(name, hurried);
    }
    return hurried;
  }

  /** Trims everything, whoever else does. */
  async trimAll(): Promise<void> {
    for (const [topic, count] of this.deps.topics) {
      const bounds = await this.#bounds(topic);
      const partitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }));
      const kept = await Promise.all(partitions.map((at) => this.#trim(at, bounds)));
      const sum = (of: (one: (typeof kept)[number]) => number): number =>
        kept.reduce((total, one) => total + of(one), 0);
      this.deps.metrics.kept(
        topic,
        sum((one) => one.records),
        sum((one) => one.bytes),
      );
    }
  }

  /** Who has not read what fills a partition; now and then, as every refused push asks. */
  async #tellWhoHolds(topic: string, partition: number): Promise<void> {
    const { clock, connection, keys, log } = this.deps;
    if (clock.monotonicMs() - this.#toldAtMs < TELL_MS) return;
    this.#toldAtMs = clock.monotonicMs();
    try {
      const groups = await connection.guard(() => connection.redis.hkeys(keys.groups(topic)));
      const field = fieldOf(topic, partition);
      const read = await Promise.all(
        groups.map(async (group): Promise<[string, string]> => {
          const offset = await connection.guard(() => connection.redis.hget(keys.commits(group), field));
          return [group, offset ?? 'nothing'];
        }),
      );
      const committed = Object.fromEntries(read);
      log.warn({ topic, partition, committed }, 'a partition is full of what some group has not read');
    } catch (error) {
      log.debug({ err: error }, 'who has not read is not known');
    }
  }

  async #inTurn(): Promise<void> {
    const { connection, intervalMs, keys } = this.deps;
    // No longer than the shortest pause: who trims alone does so in each round.
    const turn = await connection.guard(() =>
      connection.redis.set(keys.trimmer, '1', 'PX', Math.max(1, Math.floor(intervalMs / 2)), 'NX'),
    );
    if (turn === 'OK') await this.trimAll();
  }

  async #bounds(topic: string): Promise<Bounds> {
    const { config, connection, keys, log, topics } = this.deps;
    const args = [config.redis.forgetGroupsMs];
    const [known, forgotten] = (await connection.run('groups', [keys.groups(topic)], args)) as [
      string[],
      string[],
    ];
    for (const group of forgotten)
      log.warn({ group, topic }, 'a group is forgotten: it was not there for long');
    if (known.length === 0) return 'no group';
    const bounds = new Map<number, number>();
    const commits = await Promise.all(
      known.map((group) => connection.guard(() => connection.redis.hgetall(keys.commits(group)))),
    );
    for (let partition = 0; partition < (topics.get(topic) ?? 0); partition += 1)
      bounds.set(partition, Infinity);
    for (const offsets of commits) {
      const own = new Map(
        Object.entries(offsets).flatMap(([field, offset]) => {
          const at = partitionOf(field);
          return at.topic === topic ? [[at.partition, Number(offset)] as const] : [];
        }),
      );
      for (const [partition, least] of bounds)
        bounds.set(partition, Math.min(least, own.get(partition) ?? 0));
    }
    return bounds;
  }

  async #trim(
    { partition, topic }: TopicPartition,
    bounds: Bounds,
  ): Promise<{ readonly removed: number; readonly records: number; readonly bytes: number }> {
    const { config, connection, keys, log, metrics } = this.deps;
    const unread = bounds === 'no group';
    const bound = unread ? (MAY_GO_UNREAD.has(topic) ? 'all' : 0) : (bounds.get(partition) ?? 0);
    const age = unread ? config.retentionMs : config.redis.committedRetentionMs;
    const { maxPartitionBytes, maxPartitionRecords } = config.redis;
    const args = [bound, age, maxPartitionRecords, maxPartitionBytes, STEP, FORGET_PRODUCERS_MS];
    let removed = 0;
    for (;;) {
      const answer = await connection.run('trim', keys.partition(topic, partition), args);
      const [gone = 0, more, records = 0, bytes = 0] = answer as number[];
      removed += gone;
      if (more === 1 && gone > 0) continue;
      metrics.trimmed(topic, removed, unread);
      if (unread && removed > 0)
        log.warn({ topic, partition, records: removed }, 'records are removed that no group has ever read');
      return { removed, records, bytes };
    }
  }
}
