import { randomUUID } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';
import { Cluster } from 'ioredis';

import type { TopicPartition } from '../bus.js';
import type { TopicSpec } from '../kafka-topics.js';
import type { RedisBusConnection } from './client.js';
import { fieldOf, type RedisBusKeys, SKIPPED_OFFSETS } from './keys.js';

/** Keys that a step of the search looks at; Redis does nothing else meanwhile. */
const SCAN_STEP = 1_000;

export interface OpenedTopics {
  readonly epoch: string;
  /** Partitions by topic. */
  readonly partitions: ReadonlyMap<string, number>;
}

/**
 * Opens the topics under their epoch. When any partition of a topic that was opened before is gone, what the others still
 * keep goes on under a new epoch, and that partition begins above all that groups have committed of it: they read what is
 * written there from now on. Throws `bad_config` on another partition count.
 */
export async function openTopics(
  connection: RedisBusConnection,
  keys: RedisBusKeys,
  specs: readonly TopicSpec[],
  log: Logger,
): Promise<OpenedTopics> {
  let incomplete = '';
  for (;;) {
    const [epoch = '', ...flat] = (await connection.run(
      'open',
      [keys.meta],
      [randomUUID(), incomplete],
    )) as string[];
    const known = new Map<string, number>();
    for (let at = 0; at + 1 < flat.length; at += 2) known.set(flat[at]!, Number(flat[at + 1]));
    const partitions = new Map(specs.map((spec) => [spec.name, countOf(spec, known.get(spec.name))]));
    const all = [...partitions].flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition): TopicPartition => ({ topic, partition })),
    );
    const open = async ({ partition, topic }: TopicPartition, first: number | ''): Promise<boolean> => {
      const [state] = keys.partition(topic, partition);
      return (await connection.run('open-partition', [state], [epoch, first])) === 1;
    };
    const there = await Promise.all(all.map((at) => open(at, '')));
    const absent = all.filter((_, index) => !there[index]);
    if (incomplete === '' && absent.some(({ topic }) => known.has(topic))) {
      log.error(
        { epoch },
        'Redis has lost part of what the bus held: what is left goes on under a new epoch',
      );
      incomplete = epoch;
      continue;
    }
    if (absent.length > 0) {
      const firsts = await firstOffsets(connection, keys);
      const firstOf = (at: TopicPartition): number => firsts.get(fieldOf(at.topic, at.partition)) ?? 0;
      const lost = absent.filter((at) => firstOf(at) > 0);
      if (lost.length > 0)
        log.error(
          { epoch, partitions: lost.length },
          'partitions that groups have read of are gone: they begin anew',
        );
      await Promise.all(absent.map((at) => open(at, firstOf(at))));
    }
    await connection.guard(() =>
      connection.redis.hset(
        keys.meta,
        Object.fromEntries([...partitions].map(([topic, count]) => [`topic:${topic}`, count])),
      ),
    );
    return { epoch, partitions };
  }
}

/**
 * Where partitions may begin that groups have committed something of, also groups that nothing is known of any more: what
 * was lost may be more than a partition.
 */
async function firstOffsets(
  connection: RedisBusConnection,
  keys: RedisBusKeys,
): Promise<ReadonlyMap<string, number>> {
  const firsts = new Map<string, number>();
  for (const key of await keysLike(connection, keys.allCommits)) {
    const offsets = await connection.guard(() => connection.redis.hgetall(key));
    for (const [field, offset] of Object.entries(offsets))
      firsts.set(field, Math.max(firsts.get(field) ?? 0, Number(offset) + SKIPPED_OFFSETS));
  }
  return firsts;
}

async function keysLike(connection: RedisBusConnection, pattern: string): Promise<ReadonlySet<string>> {
  const { redis } = connection;
  const found = new Set<string>();
  for (const server of redis instanceof Cluster ? redis.nodes('master') : [redis]) {
    let cursor = '0';
    do {
      const [next, some] = await connection.guard(() =>
        server.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_STEP),
      );
      for (const key of some) found.add(key);
      cursor = next;
    } while (cursor !== '0');
  }
  return found;
}

function countOf(spec: TopicSpec, known: number | undefined): number {
  if (known === undefined || known === spec.partitions) return spec.partitions;
  if (!spec.frozen) return known;
  throw new HalleyError(
    'bad_config',
    `bus.partitions is ${spec.partitions}, but the topic ${spec.name} has ${known} partitions: set it to ${known}.`,
  );
}
