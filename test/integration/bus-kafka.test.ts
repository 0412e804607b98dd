import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { busConfig } from '@halley/store/bus/config';
import { busContract, CONTRACT_PARTITIONS } from '../../packages/store/src/bus/contract.js';
import { KafkaBus } from '@halley/store/bus/kafka';

const brokers = [process.env['HALLEY_TEST_KAFKA'] ?? 'HALLEY_TEST_KAFKA is not set'];

busContract('the Kafka bus', async () => ({
  open: async (topics, { maxQueuedBytes, partitions = CONTRACT_PARTITIONS } = {}) => {
    const bus = new KafkaBus({
      config: busConfig.parse({ brokers, maxQueuedBytes }),
      log: silentLogger(),
      clock: systemClock,
      topics: topics.map((name) => ({ name, partitions, frozen: true })),
    });
    await bus.start();
    return bus;
  },
  close: async () => {},
}));
