import type { z } from 'zod';

import { readCommandLine, type CommandLine } from './command-line.js';
import type { Service } from './lifecycle.js';
import { createLogger, type LogOptions, type Logger } from './log.js';
import { portClaims, type PortedConfig } from './port-claims.js';
import { runService } from './run.js';

export interface Tier<Schema extends z.ZodObject> extends Omit<CommandLine<Schema>, 'command' | 'env'> {
  /** comet, logic or job. */
  readonly tier: string;
  readonly create: (config: z.output<Schema>, log: Logger) => Service;
}

/** Taken by the `halley` command, which makes keys of the configuration of them. */
const OPTIONS_OF_THE_COMMAND = [
  '--instances N    run N processes of it, each on ports 100 further on, and start again what ends; auto is one a core',
  '--join FILE      belong to the cluster of `npm run cluster`, as .halley/cluster.json says',
];

/** The whole main of a tier: options → configuration → app → run, until a signal stops it. */
export async function runTier<Schema extends z.ZodObject>({
  tier,
  create,
  ...line
}: Tier<Schema> & { schema: z.ZodType<PortedConfig & { log: LogOptions }> }): Promise<void> {
  const read = await readCommandLine({
    ...line,
    options: OPTIONS_OF_THE_COMMAND,
    command: `halley ${tier}`,
    env: process.env,
  });
  if ('exit' in read) {
    process.exitCode = read.exit;
    return;
  }
  const { config } = read;
  const log = createLogger({ ...config.log, base: { tier } });
  await runService(create(config, log), { log, ports: portClaims(tier, config) });
}
