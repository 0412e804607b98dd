import { runTier } from '@halley/service/run-tier';

import { createCometApp } from './app.js';
import { checkCometConfig, cometConfig } from './config.js';
import type { Pages } from './transport/http/pages.js';

/** `halley comet`: options → configuration → app → run. `demo` gives the pages of the demo, where it is asked for. */
export async function main(argv: string[], { demo }: { demo?: () => Pages } = {}): Promise<void> {
  await runTier({
    tier: 'comet',
    summary: 'Runs one comet: holds the connections of clients.',
    schema: cometConfig,
    argv,
    check: checkCometConfig,
    create: (config, log) =>
      createCometApp(config, { log, ...(config.http.demo && demo && { pages: demo() }) }),
  });
}
