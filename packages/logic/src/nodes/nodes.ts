import type { AddressKind, NodeRecord } from '@halley/cluster/registry/registry';

import type { Balancer } from './balancer.js';
import type { Regions } from './regions.js';

/** What clients are told beside the nodes; goim's `[node]` and `[backoff]`. */
export interface NodesOptions {
  /** Told as `domain`, and as the only node while there is none. */
  readonly domain: string;
  /** Put behind host names for the platform `web`. */
  readonly hostDomain: string;
  /** 0 is the port of the comet that is offered first. */
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
    const [first] = offered;
    const ports = {
      tcp: options.tcpPort || portOf(first, 'tcp') || 3101,
      ws: options.wsPort || portOf(first, 'ws') || 3102,
      wss: options.wssPort || portOf(first, 'wss') || 3103,
    };
    // Clients are told one port for all: where it comes from a comet, only its like are named beside it.
    const alike = offered.filter(
      (node) =>
        (options.tcpPort > 0 || portOf(node, 'tcp') === portOf(first, 'tcp')) &&
        (options.wsPort > 0 || portOf(node, 'ws') === portOf(first, 'ws')) &&
        (options.wssPort > 0 || portOf(node, 'wss') === portOf(first, 'wss')),
    );
    const names =
      platform === 'web'
        ? alike.map((node) => node.hostname + options.hostDomain)
        : alike.flatMap(publicHosts);
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

/** goim's public addresses of a comet: what it registered as such, else where it is reached. */
export function publicHosts(node: NodeRecord): readonly string[] {
  if (node.publicAddresses.length > 0) return node.publicAddresses;
  const address = node.addresses.tcp ?? node.addresses.ws ?? node.addresses.grpc;
  return address === undefined ? [] : [hostOf(address)];
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1');
}

function portOf(node: NodeRecord | undefined, kind: AddressKind): number {
  const address = node?.addresses[kind];
  return address === undefined ? 0 : Number(address.slice(address.lastIndexOf(':') + 1));
}
