import { randomUUID } from 'node:crypto';

import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { busConfig } from '@halley/store/bus/config';
import { RedisBus } from '@halley/store/bus/redis';
import { routesConfig } from '@halley/store/routes/config';

export interface RedisBusShape {
  /** `host:port` of Redis; of any node with `cluster`. */
  readonly address: string;
  readonly cluster?: readonly string[];
  /** Buses with the same prefix are of one installation. Default a fresh one. */
  readonly keyPrefix?: string;
  readonly topics: readonly string[];
  readonly partitions?: number;
  /** Keys of the section `bus`. */
  readonly bus?: Readonly<Record<string, unknown>>;
  /** Keys of the section `bus.redis`. */
  readonly redis?: Readonly<Record<string, unknown>>;
  readonly onLost?: () => void;
}

/** A started bus in Redis. Whoever starts one stops it. */
export async function startRedisBus(shape: RedisBusShape): Promise<RedisBus> {
  const { address, cluster = [], keyPrefix = `${randomUUID()}:`, partitions = 6, topics } = shape;
  const bus = new RedisBus({
    config: busConfig.parse({ ...shape.bus, redis: { keyPrefix, ...shape.redis } }),
    routes: routesConfig.parse({ url: `redis://${address}`, cluster }),
    log: silentLogger(),
    clock: systemClock,
    topics: topics.map((name) => ({ name, partitions, frozen: true })),
    ...(shape.onLost ? { onLost: shape.onLost } : {}),
  });
  await bus.start();
  return bus;
}
