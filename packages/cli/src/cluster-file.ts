import { readFile } from 'node:fs/promises';

import { HalleyError } from '@halley/protocol/error';

/** What `npm run cluster` writes to `.halley/cluster.json`, as far as joining needs it. */
export interface ClusterFile {
  /** What a node of each tier is started with to belong to the cluster: the services, and how tokens are checked. */
  readonly arguments?: Readonly<Record<string, readonly string[]>>;
}

/** Replaces `--join FILE` by the arguments that make a node of the tier belong to that cluster; others stay behind them. */
export async function joinArguments(tier: string, argv: readonly string[]): Promise<string[]> {
  const rest: string[] = [];
  const joined: string[] = [];
  for (let index = 0; index < argv.length; index += 1) {
    const token = argv[index] ?? '';
    if (token === '--join') {
      index += 1;
      joined.push(...(await readArguments(tier, argv[index] ?? '')));
    } else if (token.startsWith('--join=')) {
      joined.push(...(await readArguments(tier, token.slice('--join='.length))));
    } else rest.push(token);
  }
  return [...joined, ...rest];
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

function parse(text: string): ClusterFile | undefined {
  try {
    return JSON.parse(text) as ClusterFile;
  } catch {
    return undefined;
  }
}
