import { runTier } from '@halley/service/run-tier';

import { createLogicApp } from './app.js';
import { checkLogicConfig, logicConfig } from './config.js';

/** `halley logic`: options → configuration → app → run. */
export async function main(argv: string[]): Promise<void> {
  await runTier({
    tier: 'logic',
    summary: 'Runs one logic: authenticates connections, and answers business services.',
    schema: logicConfig,
    argv,
    check: checkLogicConfig,
    create: (config, log) => createLogicApp(config, { log }),
  });
}
