import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Tier } from '@halley/cluster/registry/registry';
import { isReady } from '@halley/service/is-ready';
import { ServiceProcess } from '@halley/services/service-process';

const HALLEY = fileURLToPath(new URL('../../bin/halley.js', import.meta.url));

/** The ports that a node of the cluster binds, without certificates; the n-th node of a tier has them all + 100 × (n − 1). */
export const CLUSTER_PORTS: Readonly<Record<Tier, Readonly<Record<string, number>>>> = {
  comet: { tcp: 3101, ws: 3102, ops: 3104, grpc: 3109 },
  logic: { http: 3111, ops: 3114, grpc: 3119 },
  job: { ops: 3124 },
};

/** The ports of a tier's node on an offset. */
export function portsAt(tier: Tier, offset: number): Record<string, number> {
  return Object.fromEntries(Object.entries(CLUSTER_PORTS[tier]).map(([name, port]) => [name, port + offset]));
}

export interface TierProcessOptions {
  readonly tier: Tier;
  /** From 1. */
  readonly index: number;
  readonly portOffset: number;
  /** What makes it belong to the cluster, and more. */
  readonly arguments: readonly string[];
  /** Folder for its log, NAME.log. */
  readonly logs: string;
}

/** One node of the cluster in a process of its own, ready when its ops server says so. */
export class TierProcess extends ServiceProcess {
  readonly tier: Tier;
  readonly ports: Readonly<Record<string, number>>;

  constructor(options: TierProcessOptions) {
    const { tier, index, portOffset } = options;
    const name = `${tier}-${index}`;
    const ports = portsAt(tier, portOffset);
    super({
      name,
      file: process.execPath,
      args: [HALLEY, tier, ...options.arguments, '--port-offset', String(portOffset)],
      logFile: join(options.logs, `${name}.log`),
      ready: () => isReady(ports['ops'] ?? 0),
    });
    this.tier = tier;
    this.ports = ports;
  }
}
