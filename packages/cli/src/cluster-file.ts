import { readFile } from 'node:fs/promises';

import { HalleyError } from '@halley/protocol/error';

import type { ClusterState } from './cluster/state-file.js';

/** A tier's arguments, and the cluster that they make it belong to. */
export interface Joined {
  readonly argv: string[];
  /** cluster.json of the cluster; undefined without `--join`. */
  readonly file?: string;
}

/** Replaces `--join FILE` by the arguments that make a node of the tier belong to that cluster; others stay behind them. */
export async function joinArguments(tier: string, argv: readonly string[]): Promise<Joined> {
  const rest: string[] = [];
  const joined: string[] = [];
  let file: string | undefined;
  for (let index = 0; index < argv.length; index += 1) {
    const token = argv[index] ?? '';
    if (token === '--join') {
      index += 1;
      file = argv[index] ?? '';
    } else if (token.startsWith('--join=')) file = token.slice('--join='.length);
    else rest.push(token);
  }
  if (file === undefined) return { argv: rest };
  joined.push(...(await readArguments(tier, file)));
  return { argv: [...joined, ...rest], file };
}

async function readArguments(tier: string, file: string): Promise<readonly string[]> {
  if (file === '') throw new HalleyError('bad_config', '--join needs a file, as .halley/cluster.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new HalleyError('bad_config', `${file} cannot be read; is \`npm run cluster\` running?`, {
      cause: error,
    });
  }
  const found = parse(text)?.arguments?.[tier];
  if (!Array.isArray(found) || !found.every((argument) => typeof argument === 'string')) {
    throw new HalleyError(
      'bad_config',
      `${file} does not say how a ${tier} joins; it is written by \`npm run cluster\``,
    );
  }
  return found;
}

function parse(text: string): { readonly arguments?: Partial<Record<string, unknown>> } | undefined {
  try {
    return JSON.parse(text) as ClusterState;
  } catch {
    return undefined;
  }
}
