import { readCommandLine } from '@halley/service/command-line';
import { offsetPort } from '@halley/service/node-config';
import { runService } from '@halley/service/run';
import { createLogger } from '@halley/service/log';

import { createLogicApp } from './app.js';
import { checkLogicConfig, logicConfig } from './config.js';

/** `halley logic`: configuration → app → run. */
export async function main(argv: string[]): Promise<void> {
  const read = await readCommandLine({
    command: 'halley logic',
    summary: 'Runs one logic: authenticates connections, and answers business services.',
    schema: logicConfig,
    argv,
    env: process.env,
    check: checkLogicConfig,
  });
  if ('exit' in read) {
    process.exitCode = read.exit;
    return;
  }
  const { config } = read;
  const log = createLogger(config.log);
  const host = config.node.bind;
  await runService(createLogicApp(config, { log }), {
    log,
    ports: [
      { host, port: offsetPort(config.grpc.port, config.node), use: 'logic gRPC' },
      { host, port: offsetPort(config.http.port, config.node), use: 'logic HTTP' },
      { host, port: offsetPort(config.ops.port, config.node), use: 'logic ops' },
    ],
  });
}
