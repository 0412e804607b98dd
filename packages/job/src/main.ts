import { readCommandLine } from '@halley/service/command-line';
import { createLogger } from '@halley/service/log';
import { offsetPort } from '@halley/service/node-config';
import { runService } from '@halley/service/run';

import { createJobApp } from './app.js';
import { jobConfig } from './config.js';

/** `halley job`: reads its configuration and runs until it is told to stop. */
export async function main(argv: string[]): Promise<void> {
  const line = await readCommandLine({
    command: 'halley job',
    summary: 'Runs one job: reads the bus and delivers to the comets.',
    schema: jobConfig,
    argv,
    env: process.env,
  });
  if ('exit' in line) {
    process.exitCode = line.exit;
    return;
  }
  const { config } = line;
  const log = createLogger({ ...config.log, base: { tier: 'job' } });
  const app = createJobApp(config, { log });
  const ports = [{ host: config.node.bind, port: offsetPort(config.ops.port, config.node), use: 'job ops' }];
  await runService(app, {
    log,
    ports,
    onStarted: () => log.info({ node: app.node.id, addresses: app.node.addresses }, 'job is ready'),
  });
}
