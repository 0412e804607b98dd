import { runTier } from '@halley/service/run-tier';

import { createJobApp } from './app.js';
import { jobConfig } from './config.js';

/** `halley job`: options → configuration → app → run. */
export async function main(argv: string[]): Promise<void> {
  await runTier({
    tier: 'job',
    summary: 'Runs one job: reads the bus and delivers to the comets.',
    schema: jobConfig,
    argv,
    create: (config, log) => createJobApp(config, { log }),
  });
}
