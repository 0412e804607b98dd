// Starts one Kafka, ZooKeeper, Redis and MariaDB for all tests in test/: on free ports, in a private folder, ended with the run.
import { mkdtemp } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { startKafka } from '@halley/services/kafka';
import { startMariadb } from '@halley/services/mariadb';
import { startRedis } from '@halley/services/redis';
import { startZooKeeper } from '@halley/services/zookeeper';
import stopServices from './stop-services.mjs';

const progress = (line) => process.stderr.write(`${line}\n`);

export default async function startServices() {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-test-'));
  const starts = {
    HALLEY_TEST_KAFKA: startKafka({ dir: path.join(dir, 'kafka'), progress }),
    HALLEY_TEST_ZOOKEEPER: startZooKeeper({ dir: path.join(dir, 'zookeeper'), progress }),
    HALLEY_TEST_REDIS: startRedis({ dir: path.join(dir, 'redis'), progress }),
    HALLEY_TEST_MARIADB: startMariadb({ dir: path.join(dir, 'mariadb'), progress }),
  };
  const settled = await Promise.allSettled(Object.values(starts));
  const services = settled.filter((one) => one.status === 'fulfilled').map((one) => one.value);
  globalThis.halleyTestServices = { dir, services };
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed) {
    // Without a service there is no test: the run fails, nothing is skipped.
    const { message } = failed.reason;
    await stopServices();
    throw new Error(message);
  }
  Object.keys(starts).forEach((name, index) => {
    process.env[name] = services[index].address;
  });
}
