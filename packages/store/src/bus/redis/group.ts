import type { TopicPartition } from '../bus.js';
import type { RedisBusConnection } from './client.js';
import { fieldOf, partitionOf, type RedisBusKeys } from './keys.js';

/** A partition that a member owns. */
export interface Owned extends TopicPartition {
  /** Another member shall have it: it is to be given up. */
  readonly leaves: boolean;
}

export interface RedisGroupDeps {
  readonly connection: RedisBusConnection;
  readonly keys: RedisBusKeys;
  readonly group: string;
  readonly member: string;
  readonly topics: readonly { readonly name: string; readonly partitions: number }[];
  readonly leaseMs: number;
  readonly heartbeatMs: number;
}

/** What one member says to its group, which is kept in Redis and timed by Redis' clock. */
export class RedisGroup {
  readonly #keys: string[];
  readonly #channel: string;

  constructor(private readonly deps: RedisGroupDeps) {
    this.#keys = deps.keys.group(deps.group);
    this.#channel = deps.keys.changes(deps.group);
  }

  /** Joins, or renews the lease; answers what is owned. */
  async beat(): Promise<Owned[]> {
    const { connection, heartbeatMs, leaseMs, member, topics } = this.deps;
    const read = topics.map(({ name, partitions }) => `${name}=${partitions}`).join(' ');
    const args = [member, leaseMs, 2 * heartbeatMs, this.#channel, read];
    const flat = (await connection.run('heartbeat', this.#keys, args)) as string[];
    const owned: Owned[] = [];
    for (let at = 0; at + 1 < flat.length; at += 2)
      owned.push({ ...partitionOf(flat[at]!), leaves: flat[at + 1] === '0' });
    return owned.toSorted((a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition);
  }

  async release(partitions: readonly TopicPartition[]): Promise<void> {
    const fields = partitions.map(({ partition, topic }) => fieldOf(topic, partition));
    const args = [this.deps.member, this.#channel, ...fields];
    await this.deps.connection.run('release', this.#keys, args);
  }

  async leave(): Promise<void> {
    await this.deps.connection.run('leave', this.#keys, [this.deps.member, this.#channel]);
  }

  /**
   * Stores offsets of what is still owned; of others nothing. Throws when that is not all of them: the lease ran out, which
   * the next heartbeat renews, or ends what is owned.
   */
  async commit(offsets: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    const args = offsets.flatMap(({ offset, partition, topic }) => [fieldOf(topic, partition), offset]);
    const stored = await this.deps.connection.run('commit', this.#keys, [this.deps.member, ...args]);
    if (stored !== offsets.length)
      throw new Error(`${Number(stored)} of ${offsets.length} offsets are stored: the lease ran out`);
  }

  /** Committed offsets of these partitions, in their order. */
  async committed(partitions: readonly TopicPartition[]): Promise<(number | undefined)[]> {
    if (partitions.length === 0) return [];
    const { connection, group, keys } = this.deps;
    const fields = partitions.map(({ partition, topic }) => fieldOf(topic, partition));
    const values = await connection.guard(() => connection.redis.hmget(keys.commits(group), ...fields));
    return values.map((value) => (value === null ? undefined : Number(value)));
  }

  /** That it is there at all: what its topics keep waits for it from now on. */
  async seen(): Promise<void> {
    const { connection, group, keys, topics } = this.deps;
    await Promise.all(topics.map(({ name }) => connection.run('seen', [keys.groups(name)], [group])));
  }
}
