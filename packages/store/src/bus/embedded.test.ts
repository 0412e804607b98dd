import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { busContract, CONTRACT_PARTITIONS } from './contract.js';
import { EmbeddedBus } from './embedded.js';

busContract('the embedded bus', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'halley-bus-'));
  return {
    open: async (_topics, { partitions = CONTRACT_PARTITIONS, ...options } = {}) => {
      const bus = new EmbeddedBus({
        dataDir,
        partitions,
        log: silentLogger(),
        clock: systemClock,
        ...options,
      });
      try {
        await bus.start();
      } catch (error) {
        await bus.stop(0);
        throw error;
      }
      return bus;
    },
    close: () => rm(dataDir, { recursive: true }),
  };
});
