import { randomUUID } from 'node:crypto';

import { startRedis } from '@halley/services/redis';
import type { RunningService } from '@halley/services/running-service';
import { afterAll, beforeAll } from '@jest/globals';

import { busContract, CONTRACT_PARTITIONS } from '../../packages/store/src/bus/contract.js';
import { startRedisBus } from '../harness/redis-bus.js';

let redis: RunningService;
beforeAll(async () => {
  redis = await startRedis({ appendOnly: true });
});
afterAll(() => redis.stop());

busContract('the bus in Redis', async () => {
  const keyPrefix = `${randomUUID()}:`;
  return {
    open: (topics, { maxQueuedBytes, partitions = CONTRACT_PARTITIONS } = {}) =>
      startRedisBus({ address: redis.address, keyPrefix, topics, partitions, bus: { maxQueuedBytes } }),
    close: async () => {},
  };
});
