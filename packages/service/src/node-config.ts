import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';

import type { NodeId } from '@halley/protocol/ids';
import { z } from 'zod';

/** The section `node`: what a process is called, where it binds, and what it says of itself. */
export const nodeConfig = z.object({
  bind: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .meta({ description: 'Address that every port is bound to; 0.0.0.0 is all of the host.', flag: 'bind' }),
  advertise: z.string().default('').meta({
    description:
      'Host name or address that is registered for other nodes and clients. Empty is the bind address, or the host name when that is all of the host.',
    flag: 'advertise',
  }),
  id: z.string().max(200).default('').meta({
    description:
      'Name of the node; stays the same over restarts. Empty is hostname:gRPC port (job: ops port).',
    flag: 'node-id',
  }),
  portOffset: z.int().min(0).max(60_000).default(0).meta({
    description: 'Added to every port that is not 0: a second node on a host takes 100.',
    flag: 'port-offset',
  }),
  region: z.string().default('').meta({
    description: 'Region of the node; clients of the same region prefer it.',
    env: 'REGION',
  }),
  zone: z.string().default('').meta({ description: 'Zone within the region.', env: 'ZONE' }),
  env: z
    .string()
    .regex(/^[A-Za-z0-9._-]+$/, 'must be made of letters, digits, dots, dashes and underscores')
    .default('dev')
    .meta({
      description: 'Deployment environment; nodes of different ones do not see each other.',
      env: 'DEPLOY_ENV',
    }),
  hostname: z.string().default('').meta({
    description: "Host name that is registered. Empty is the machine's.",
    env: 'HOST',
  }),
  weight: z.int().min(0).max(1_000).default(10).meta({
    description: 'Share of the connections that the balancer aims at; 0 takes none.',
    env: 'WEIGHT',
  }),
  publicAddresses: z.array(z.string().min(1)).default([]).meta({
    description: 'Addresses that clients are told instead of the advertised one.',
    env: 'ADDRS',
  }),
});

export type NodeConfig = z.output<typeof nodeConfig>;

/** A port that the environment decides is 0 and stays so. */
export function offsetPort(port: number, config: Pick<NodeConfig, 'portOffset'>): number {
  return port === 0 ? 0 : port + config.portOffset;
}

/** Who a node is, once its ports are bound. */
export interface NodeIdentity<Kind extends string> {
  readonly id: NodeId;
  /** A fresh one for each start. */
  readonly incarnation: string;
  readonly hostname: string;
  /** What clients are told: publicAddresses, or the advertised address. */
  readonly publicAddresses: readonly string[];
  /** `host:port` by protocol, as others reach them. */
  readonly addresses: Readonly<Partial<Record<Kind, string>>>;
}

/**
 * Resolves the section `node` against the ports that were really bound (after the offset, and after port 0 was decided).
 * `idKind` names the port in the default id: grpc, or ops for job.
 */
export function resolveNode<Kind extends string>(
  config: NodeConfig,
  boundPorts: Readonly<Partial<Record<Kind, number>>>,
  idKind: NoInfer<Kind>,
): NodeIdentity<Kind> {
  const name = config.hostname || hostname();
  const host = advertisedHost(config);
  const addresses: Partial<Record<Kind, string>> = {};
  for (const [kind, port] of Object.entries(boundPorts) as [Kind, number | undefined][]) {
    if (port !== undefined) addresses[kind] = hostPort(host, port);
  }
  return {
    id: (config.id || hostPort(name, boundPorts[idKind] ?? 0)) as NodeId,
    incarnation: randomUUID(),
    hostname: name,
    publicAddresses: config.publicAddresses.length > 0 ? config.publicAddresses : [host],
    addresses,
  };
}

/** Where others reach this node. */
export function advertisedHost(config: NodeConfig): string {
  if (config.advertise) return config.advertise;
  return isWildcard(config.bind) ? config.hostname || hostname() : config.bind;
}

/** Whether only this machine reaches what is bound there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

/** `host:port`, with brackets around an IPv6 address. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether it stands for all addresses of the host. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
