import type { NodeRecord } from '@halley/cluster/registry/registry';

import type { Balancer } from './balancer.js';
import type { Regions } from './regions.js';

/** What clients are told beside the nodes; goim's `[node]` and `[backoff]`. */
export interface NodesOptions {
  /** Told as `domain`, and as the only node while there is none. */
  readonly domain: string;
  /** Put behind host names for the platform `web`. */
  readonly hostDomain: string;
  /** Told as `tcp_port`; 0 is that of the comets. */
  readonly tcpPort: number;
  readonly wsPort: number;
  readonly wssPort: number;
  readonly heartbeatMs: number;
  readonly heartbeatMax: number;
  readonly backoff: BackoffAdvice;
}

export interface BackoffAdvice {
  readonly maxDelay: number;
  readonly baseDelay: number;
  readonly factor: number;
  readonly jitter: number;
}

/** goim's NodesReply; the keys stand in the order of its JSON. */
export interface WeightedNodes {
  readonly domain: string;
  readonly tcp_port: number;
  readonly ws_port: number;
  readonly wss_port: number;
  /** In seconds. */
  readonly heartbeat: number;
  readonly nodes: readonly string[];
  readonly backoff: {
    readonly max_delay: number;
    readonly base_delay: number;
    readonly factor: number;
    readonly jitter: number;
  };
  readonly heartbeat_max: number;
}

type ClientProtocol = 'tcp' | 'ws' | 'wss';

/** What clients take for granted while no comet says otherwise. */
const GOIM_PORTS: Readonly<Record<ClientProtocol, number>> = { tcp: 3101, ws: 3102, wss: 3103 };

/** Where clients should connect: comets in the balancer's order. */
export class ClientNodes {
  constructor(
    private readonly balancer: Balancer,
    private readonly regions: Regions,
    private readonly options: NodesOptions,
  ) {}

  /** For a client of this platform (`web` is told host names) at this address (empty: unknown). */
  weighted(platform: string, clientIp: string): WeightedNodes {
    const { options } = this;
    const offered = this.balancer.offer(this.regions.of(clientIp));
    const { ports, nodes } = portsFor(offered, options);
    const names =
      platform === 'web'
        ? nodes.map((node) => node.hostname + options.hostDomain)
        : nodes.flatMap(publicHosts);
    return {
      domain: options.domain,
      tcp_port: ports.tcp,
      ws_port: ports.ws,
      wss_port: ports.wss,
      heartbeat: Math.trunc(options.heartbeatMs / 1_000),
      nodes: names.length > 0 ? [...new Set(names)] : [options.domain],
      backoff: {
        max_delay: options.backoff.maxDelay,
        base_delay: options.backoff.baseDelay,
        factor: options.backoff.factor,
        jitter: options.backoff.jitter,
      },
      heartbeat_max: options.heartbeatMax,
    };
  }
}

/**
 * Clients are told one port a protocol for all nodes: the configured one, or that of the first node that serves it, beside
 * which only nodes stay that serve it there or not at all. Where none does it is the port at which the first would.
 */
function portsFor(
  offered: readonly NodeRecord[],
  { tcpPort, wsPort, wssPort }: NodesOptions,
): { readonly ports: Readonly<Record<ClientProtocol, number>>; readonly nodes: readonly NodeRecord[] } {
  const ports = { tcp: tcpPort, ws: wsPort, wss: wssPort };
  let nodes = offered;
  for (const protocol of ['tcp', 'ws', 'wss'] as const) {
    if (ports[protocol] > 0) continue;
    const served = nodes.map((node) => portOf(node, protocol)).find((port) => port > 0);
    ports[protocol] = served ?? GOIM_PORTS[protocol] + (offered[0]?.portOffset ?? 0);
    nodes = nodes.filter((node) => [0, ports[protocol]].includes(portOf(node, protocol)));
  }
  return { ports, nodes };
}

/** goim's public addresses of a comet: what it registered as such, else where it is reached. */
export function publicHosts(node: NodeRecord): readonly string[] {
  if (node.publicAddresses.length > 0) return node.publicAddresses;
  const address = node.addresses.tcp ?? node.addresses.ws ?? node.addresses.grpc;
  return address === undefined ? [] : [hostOf(address)];
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}

/** 0 is not served. */
function portOf(node: NodeRecord, protocol: ClientProtocol): number {
  const address = node.addresses[protocol];
  return address === undefined ? 0 : Number(address.slice(address.lastIndexOf(':') + 1));
}
