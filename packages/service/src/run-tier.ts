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

/** The whole main of a tier: options → configuration → app → run, until a signal stops it. */
export async function runTier<Schema extends z.ZodObject>({
  tier,
  create,
  ...line
}: Tier<Schema> & { schema: z.ZodType<PortedConfig & { log: LogOptions }> }): Promise<void> {
  const read = await readCommandLine({ ...line, command: `halley ${tier}`, env: process.env });
  if ('exit' in read) {
    process.exitCode = read.exit;
    return;
  }
  const { config } = read;
  const log = createLogger({ ...config.log, base: { tier } });
  await runService(create(config, log), { log, ports: portClaims(tier, config) });
}
