import { checkCometConfig } from '@halley/comet/config';
import { checkLogicConfig } from '@halley/logic/config';
import { configHelp, splitArguments } from '@halley/service/command-line';
import { type DataLock, lockDataFolder } from '@halley/service/data-lock';
import { type Service, ServiceGroup } from '@halley/service/lifecycle';
import { LateService } from '@halley/service/late-service';
import { createLogger } from '@halley/service/log';
import { portClaims } from '@halley/service/port-claims';
import { runService } from '@halley/service/run';

import { complain, print } from '../terminal.js';
import { banner } from './banner.js';
import { listedKeys, loadStartConfig, printStartConfig, type StartConfig } from './start-config.js';
import { tierSchemas } from './tier-schemas.js';
import { untilReady } from './until-ready.js';

const SUMMARY = `Runs comet, logic and job in one process, with nothing installed: registry, routes, bus, streams and archive are embedded.
One configuration serves all: --KEY sets a key for every tier that has it; any key that a tier has can also be set for that
tier alone, as --comet.KEY, --logic.KEY or --job.KEY, which then wins.`;

/**
 * `halley start`: options → configuration → run. The tiers are loaded when the ports are found free and the data folder is
 * ours: a start beside another ends at once.
 */
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

async function run(config: StartConfig<typeof tierSchemas>): Promise<void> {
  const { dataDir, tiers } = config;
  const log = createLogger({ ...tiers.logic.log });
  const late = new LateService('tiers', async () => {
    const { StartedTiers } = await import('./started-tiers.js');
    return new StartedTiers(config, log);
  });
  await runService(new ServiceGroup('halley', [new DataFolder(dataDir), late], log), {
    log,
    ports: Object.entries(tiers).flatMap(([tier, one]) => portClaims(tier, one)),
    onStarted: async () => {
      const started = late.service;
      if (!started) return;
      await untilReady([started], 15_000);
      for (const line of banner(started.nodes, { dataDir, demo: started.servesDemo })) print(line);
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
