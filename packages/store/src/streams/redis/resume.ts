import { HalleyError } from '@halley/protocol/error';
import { Cluster } from 'ioredis';

import type { RedisConnection } from '../../redis/connection.js';
import { MAX_CURSORS, type ResumeOutcome, type Resuming } from '../streams.js';

/**
 * As {@link Streams.resume}. A Redis by itself serves all devices with one script; of a cluster one serves those of a shard,
 * and what goes wrong there is theirs alone. `stateKeyOf` is the state of the shard of a stream.
 */
export async function resumeOn(
  connection: RedisConnection<string>,
  stateKeyOf: (stream: string) => string,
  epoch: string,
  ttlMs: number,
  devices: readonly Resuming[],
): Promise<readonly ResumeOutcome[]> {
  const outcomes: ResumeOutcome[] = devices.map(() => undefined);
  const groups = new Map<string, { keys: string[]; args: string[]; indexes: number[] }>();
  const clustered = connection.redis instanceof Cluster;
  for (const [index, { stream, key, owner }] of devices.entries()) {
    const stateKey = stateKeyOf(stream);
    const name = clustered ? stateKey : '';
    let group = groups.get(name);
    if (!group) groups.set(name, (group = { keys: [], args: [], indexes: [] }));
    group.keys.push(stateKey);
    group.args.push(stream, key ?? '', owner);
    group.indexes.push(index);
  }
  await Promise.all(
    [...groups.values()].map(async ({ keys, args, indexes }) => {
      try {
        const answer = (await connection.run('resume', keys, [epoch, MAX_CURSORS, ttlMs, ...args])) as (
          | number
          | string
        )[];
        for (const [i, index] of indexes.entries()) {
          const known = answer[3 * i] as number;
          if (known < 0) continue;
          const [of, position] = [String(answer[3 * i + 1]), Number(answer[3 * i + 2])];
          outcomes[index] = { epoch: of, position, known: known === 1 };
        }
      } catch (error) {
        for (const index of indexes) outcomes[index] = HalleyError.from(error);
      }
    }),
  );
  return outcomes;
}
