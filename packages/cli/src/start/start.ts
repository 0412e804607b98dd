import { EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import { createCometApp } from '@halley/comet/app';
import { checkCometConfig, cometConfig } from '@halley/comet/config';
import { createJobApp } from '@halley/job/app';
import { jobConfig } from '@halley/job/config';
import { createLogicApp } from '@halley/logic/app';
import { checkLogicConfig, logicConfig } from '@halley/logic/config';
import { configHelp, splitArguments } from '@halley/service/command-line';
import { systemClock } from '@halley/service/clock';
import { type DataLock, lockDataFolder } from '@halley/service/data-lock';
import { type Service, ServiceGroup } from '@halley/service/lifecycle';
import { createLogger } from '@halley/service/log';
import { portClaims } from '@halley/service/port-claims';
import { runService } from '@halley/service/run';
import { EmbeddedArchive } from '@halley/store/archive/embedded';
import { Topic } from '@halley/store/bus/bus';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { EmbeddedStreams } from '@halley/store/streams/embedded';

import { complain, print } from '../terminal.js';
import { banner } from './banner.js';
import { embeddedBus } from './embedded-bus.js';
import { listedKeys, loadStartConfig, printStartConfig, type StartConfig } from './start-config.js';
import { untilReady } from './until-ready.js';

/** The schemas of the tiers, which `halley start` reads as one. */
export const tierSchemas = { comet: cometConfig, logic: logicConfig, job: jobConfig };

const SUMMARY = `Runs comet, logic and job in one process, with nothing installed: registry, routes, bus, streams and archive are embedded.
One configuration serves all: --KEY sets a key for every tier that has it; any key that a tier has can also be set for that
tier alone, as --comet.KEY, --logic.KEY or --job.KEY, which then wins.`;

/** `halley start`: options → configuration → the three tiers → run. */
export async function start(argv: readonly string[]): Promise<void> {
  const { mode, file, flags } = splitArguments(argv);
  if (mode === 'help') {
    print(configHelp('halley start', SUMMARY, listedKeys(tierSchemas)));
    return;
  }
  let config: StartConfig<typeof tierSchemas>;
  try {
    config = loadStartConfig(tierSchemas, {
      file: file ?? (process.env['HALLEY_CONFIG'] || undefined),
      env: process.env,
      flags,
    });
    checkCometConfig(config.tiers.comet);
    checkLogicConfig(config.tiers.logic);
  } catch (error) {
    await complain(error);
    process.exitCode = 1;
    return;
  }
  if (mode === 'check') return print('The configuration is right.');
  if (mode === 'print') return print(printStartConfig(tierSchemas, config));
  await run(config);
}

async function run({ dataDir, tiers }: StartConfig<typeof tierSchemas>): Promise<void> {
  const log = createLogger({ ...tiers.logic.log });
  const bus = embeddedBus(tiers.logic.bus, { dataDir, log, clock: systemClock });
  const registry = new EmbeddedRegistry({ log });
  const routes = new EmbeddedRoutes({ leaseMs: tiers.logic.routes.leaseMs });
  const { inlineBytes } = tiers.logic.streams;
  const streams = new EmbeddedStreams({ dataDir, shards: bus.partitions(Topic.Push), inlineBytes, log });
  const archive = new EmbeddedArchive({ dataDir });
  const stores = { bus, routes, streams, archive };
  const logic = createLogicApp(tiers.logic, { registry, ...stores, log: log.child({ tier: 'logic' }) });
  const comet = createCometApp(tiers.comet, { registry, log: log.child({ tier: 'comet' }) });
  const job = createJobApp(tiers.job, { registry, ...stores, log: log.child({ tier: 'job' }) });
  const lock = new DataFolder(dataDir);
  const all = new ServiceGroup(
    'halley',
    [lock, bus, streams, archive, routes, registry, logic, comet, job],
    log,
  );
  await runService(all, {
    log,
    ports: Object.entries(tiers).flatMap(([tier, config]) => portClaims(tier, config)),
    onStarted: async () => {
      await untilReady([logic, comet, job], 15_000);
      for (const line of banner({ comet: comet.node, logic: logic.node, job: job.node }, dataDir))
        print(line);
    },
  });
}

/** The lock of the data folder, held from before the bus opens its file until after it has closed it. */
class DataFolder implements Service {
  readonly name = 'data folder';
  #lock: DataLock | undefined;

  constructor(private readonly folder: string) {}

  async start(): Promise<void> {
    this.#lock = await lockDataFolder(this.folder);
  }

  async stop(_deadlineMs: number): Promise<void> {
    await this.#lock?.release();
  }
}
