import { startRedis } from '@halley/services/redis';
import type { RunningService } from '@halley/services/running-service';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { busConfig } from '@halley/store/bus/config';
import { RedisBus } from '@halley/store/bus/redis';
import { afterAll, beforeAll } from '@jest/globals';
import { randomUUID } from 'node:crypto';

import { busContract, CONTRACT_PARTITIONS } from '../../packages/store/src/bus/contract.js';
import { routesConfig } from '@halley/store/routes/config';

let redis: RunningService;
beforeAll(async () => {
  redis = await startRedis({ appendOnly: true });
});
afterAll(() => redis.stop());

busContract('the bus in Redis', async () => {
  const keyPrefix = `${randomUUID()}:`;
  return {
    open: async (topics, { maxQueuedBytes, partitions = CONTRACT_PARTITIONS } = {}) => {
      const bus = new RedisBus({
        config: busConfig.parse({ maxQueuedBytes, redis: { keyPrefix } }),
        routes: routesConfig.parse({ url: `redis://${redis.address}` }),
        log: silentLogger(),
        clock: systemClock,
        topics: topics.map((name) => ({ name, partitions, frozen: true })),
      });
      await bus.start();
      return bus;
    },
    close: async () => {},
  };
});
