import { availableParallelism } from 'node:os';

import { HalleyError } from '@halley/protocol/error';

/** More than any host has use for; each takes a process's memory. */
const MAX_INSTANCES = 64;

/** A tier's arguments without what says how many processes there are to be. */
export interface InstanceArguments {
  readonly argv: string[];
  /** How many to run; undefined without `--instances`: this process is the node. */
  readonly count: number | undefined;
  /** Whether this process is one of several, and ends with the one that started it. */
  readonly isInstance: boolean;
}

/** Said to each process by the one that runs them. */
export const INSTANCE_FLAG = '--is-instance';

/** Takes `--instances N` (or `auto`: one for each core) out of the arguments of a tier. Throws `bad_config`. */
export function takeInstances(
  argv: readonly string[],
  cores: () => number = availableParallelism,
): InstanceArguments {
  const rest: string[] = [];
  let count: number | undefined;
  let isInstance = false;
  for (let index = 0; index < argv.length; index += 1) {
    const token = argv[index] ?? '';
    if (token === INSTANCE_FLAG) isInstance = true;
    else if (token === '--instances') {
      index += 1;
      count = countOf(argv[index] ?? '', cores);
    } else if (token.startsWith('--instances=')) count = countOf(token.slice('--instances='.length), cores);
    else rest.push(token);
  }
  return { argv: rest, count: isInstance ? undefined : count, isInstance };
}

function countOf(text: string, cores: () => number): number {
  if (text === 'auto') return Math.min(MAX_INSTANCES, cores());
  const count = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (count < 1 || count > MAX_INSTANCES)
    throw new HalleyError(
      'bad_config',
      `--instances must be a whole number from 1 to ${MAX_INSTANCES}, or auto: one for each core`,
    );
  return count;
}
