import type { Tier } from '@halley/cluster/registry/registry';
import { splitArguments } from '@halley/service/command-line';
import { loadConfig } from '@halley/service/config';
import type { NodeConfig } from '@halley/service/node-config';
import { portClaims } from '@halley/service/port-claims';
import type { z } from 'zod';

import { ClusterStateFile } from './state-file.js';

/**
 * Lists this process among the processes of the cluster that it joins; the cluster itself then sees when it is ready and
 * when it has left. A configuration that is wrong is left to the tier, which says so.
 */
export async function announceJoined(
  file: string,
  tier: Tier,
  argv: readonly string[],
  schema: z.ZodObject,
): Promise<void> {
  const { mode, file: configFile, flags } = splitArguments(argv);
  if (mode !== 'run') return;
  let ports: Record<string, number>;
  try {
    const config = loadConfig(schema, {
      file: configFile ?? (process.env['HALLEY_CONFIG'] || undefined),
      env: process.env,
      flags,
    }) as unknown as { readonly node: NodeConfig };
    const claims = portClaims(tier, config).filter(({ port }) => port !== 0);
    ports = Object.fromEntries(claims.map(({ use = '', port }) => [use.slice(tier.length + 1), port]));
  } catch {
    return;
  }
  await new ClusterStateFile(file).update((state) => {
    const taken = state.processes
      .filter((one) => one.tier === tier)
      .map(({ name }) => Number(name.split('-').at(-1)));
    const name = `${tier}-${Math.max(0, ...taken) + 1}`;
    return {
      ...state,
      processes: [...state.processes, { name, tier, pid: process.pid, ports, state: 'starting' }],
    };
  });
}
