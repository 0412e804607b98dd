import { randomUUID } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';

import type { TopicSpec } from '../kafka-topics.js';
import type { RedisBusConnection } from './client.js';
import type { RedisBusKeys } from './keys.js';

export interface OpenedTopics {
  readonly epoch: string;
  /** Partitions by topic. */
  readonly partitions: ReadonlyMap<string, number>;
}

/**
 * Opens the topics under their epoch. When any partition of a topic that was opened before is gone, what the others still
 * keep goes on under a new epoch. Throws `bad_config` on another partition count.
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
    const there = await Promise.all(
      [...partitions].flatMap(([topic, count]) =>
        Array.from({ length: count }, async (_, partition) => {
          const [state] = keys.partition(topic, partition);
          return connection.run(
            'open-partition',
            [state],
            [epoch, known.has(topic) && incomplete === '' ? 1 : 0],
          );
        }),
      ),
    );
    if (there.every((answer) => answer === 1)) {
      await connection.guard(() =>
        connection.redis.hset(
          keys.meta,
          Object.fromEntries([...partitions].map(([topic, count]) => [`topic:${topic}`, count])),
        ),
      );
      return { epoch, partitions };
    }
    log.error({ epoch }, 'Redis has lost part of what the bus held: what is left goes on under a new epoch');
    incomplete = epoch;
  }
}

function countOf(spec: TopicSpec, known: number | undefined): number {
  if (known === undefined || known === spec.partitions) return spec.partitions;
  if (!spec.frozen) return known;
  throw new HalleyError(
    'bad_config',
    `bus.partitions is ${spec.partitions}, but the topic ${spec.name} has ${known} partitions: set it to ${known}.`,
  );
}
