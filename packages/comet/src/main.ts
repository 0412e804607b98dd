import { runTier } from '@halley/service/run-tier';

import { createCometApp } from './app.js';
import { checkCometConfig, cometConfig } from './config.js';

/** `halley comet`: options → configuration → app → run. */
export async function main(argv: string[]): Promise<void> {
  await runTier({
    tier: 'comet',
    summary: 'Runs one comet: holds the connections of clients.',
    schema: cometConfig,
    argv,
    check: checkCometConfig,
    create: (config, log) => createCometApp(config, { log }),
  });
}
