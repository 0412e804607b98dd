import { readCommandLine } from '@halley/service/command-line';
import { createLogger } from '@halley/service/log';
import { runService } from '@halley/service/run';

import { createCometApp } from './app.js';
import { checkCometConfig, cometConfig, cometPorts } from './config.js';

/** `halley comet`: configuration → app → run. */
export async function main(argv: string[]): Promise<void> {
  const read = await readCommandLine({
    command: 'halley comet',
    summary: 'Runs one comet: holds the connections of clients.',
    schema: cometConfig,
    argv,
    env: process.env,
    check: checkCometConfig,
  });
  if ('exit' in read) {
    process.exitCode = read.exit;
    return;
  }
  const { config } = read;
  const log = createLogger({ ...config.log, base: { tier: 'comet' } });
  await runService(createCometApp(config, { log }), { log, ports: cometPorts(config) });
}
