import { readFile } from 'node:fs/promises';

import { HalleyError } from '@halley/protocol/error';

import type { ServiceName } from './catalogue.js';

/** What `.halley/cluster.json` says of a cluster that runs on this machine, as far as a check needs it. */
export interface ClusterFile {
  readonly path: string;
  /** Those that run. */
  readonly processes: readonly ClusterNode[];
  readonly services: Readonly<Partial<Record<ServiceName, ClusterService>>>;
  /** Where pushes are made durable. */
  readonly bus: 'kafka' | 'redis';
  /** What makes a node of a tier belong to the cluster. */
  readonly arguments: Readonly<Partial<Record<ClusterNode['tier'], readonly string[]>>>;
  /** The process that ends the cluster. */
  readonly pid?: number;
}

export interface ClusterService {
  readonly address: string;
  readonly pid: number;
  /** How it is started. */
  readonly start: {
    readonly file: string;
    readonly args: readonly string[];
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
  };
}

export interface ClusterNode {
  readonly name: string;
  readonly tier: 'comet' | 'logic' | 'job';
  readonly pid: number;
  readonly ports: Readonly<Record<string, number>>;
}

/** Reads the file. Throws `invalid_argument` when it is none, or nothing of the cluster runs any more. */
export async function readClusterFile(path: string): Promise<ClusterFile> {
  let value: Omit<Partial<ClusterFile>, 'processes'> & {
    readonly processes?: readonly (ClusterNode & { readonly state: string })[];
  };
  try {
    value = JSON.parse(await readFile(path, 'utf8')) as typeof value;
  } catch (error) {
    throw new HalleyError('invalid_argument', `${path} cannot be read; is \`npm run cluster\` running?`, {
      cause: error,
    });
  }
  const processes = (value.processes ?? []).filter(({ pid, state }) => state !== 'exited' && isAlive(pid));
  for (const tier of ['comet', 'logic', 'job']) {
    if (!processes.some((one) => one.tier === tier))
      throw new HalleyError('invalid_argument', `no ${tier} of the cluster in ${path} runs; start it again`);
  }
  return {
    path,
    processes,
    services: value.services ?? {},
    bus: value.bus ?? 'kafka',
    arguments: value.arguments ?? {},
    ...(value.pid === undefined ? {} : { pid: value.pid }),
  };
}

/** Whether a process of this id runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
