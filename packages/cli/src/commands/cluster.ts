import type { Command } from 'commander';

import { oneOf, wholeNumber } from '../arguments.js';
import type { ClusterBus } from '../cluster/state-file.js';
import { print } from '../terminal.js';

/** The chat page, and its rooms: with a history, and telling who has read what. */
const DEMO = {
  comet: ['--demo'],
  logic: ['--push.durableRooms', 'chat://*', '--receipts.rooms', 'chat://*'],
};

interface ClusterOptions {
  readonly dir: string;
  readonly portOffset: number;
  readonly bus: ClusterBus;
}

/** `halley cluster`: the real Kafka, ZooKeeper, Redis and MariaDB, and two of each tier, one process each. */
export function registerCluster(program: Command): void {
  program
    .command('cluster')
    .description('run the real Kafka, ZooKeeper, Redis and MariaDB on this machine, and two of each tier')
    .option('--dir <folder>', 'folder for cluster.json, the logs and the data', '.halley')
    .option('--port-offset <number>', 'added to every port of the tiers', wholeNumber(0, 60_000), 0)
    .option(
      '--bus <kafka|redis>',
      'where pushes are made durable; with redis there is no Kafka',
      oneOf('kafka', 'redis'),
      'kafka',
    )
    .action(async ({ bus, dir, portOffset }: ClusterOptions) => {
      // Loaded when it is needed, as the other commands need none of it.
      const [{ LocalCluster }, { clusterBanner }, { createLogger }, { runService }] = await Promise.all([
        import('../cluster/local-cluster.js'),
        import('../cluster/banner.js'),
        import('@halley/service/log'),
        import('@halley/service/run'),
      ]);
      const cluster = new LocalCluster({
        dir,
        portOffset,
        bus,
        nodes: { comet: 2, logic: 2, job: 2 },
        shared: DEMO,
        say: print,
      });
      await runService(cluster, {
        log: createLogger({ level: 'warn' }),
        onStarted: () => {
          for (const line of clusterBanner(cluster)) print(line);
        },
      });
    });
}
