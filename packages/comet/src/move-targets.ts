import type { AddressKind, NodeRecord } from '@halley/cluster/registry/registry';

import type { Transport } from './transport/transport.js';

/** The address of a node that serves clients of this transport. */
export function addressKindOf({ variant, secure }: Pick<Transport, 'variant' | 'secure'>): AddressKind {
  if (variant === 'tcp') return secure ? 'tls' : 'tcp';
  return secure ? 'wss' : 'ws';
}

/**
 * Where the clients of a node that drains can go, as `host:port`: other nodes that serve, those with the fewest connections
 * for their weight first, by their public addresses where they have some.
 */
export function moveTargets(nodes: readonly NodeRecord[], self: string, kind: AddressKind): string[] {
  const share = ({ load, weight }: NodeRecord): number => load.connections / weight;
  return nodes
    .filter(({ id, state, weight }) => id !== self && state === 'serving' && weight > 0)
    .sort((a, b) => share(a) - share(b))
    .flatMap(({ addresses, publicAddresses }) => {
      const address = addresses[kind];
      if (address === undefined) return [];
      const port = address.slice(address.lastIndexOf(':'));
      return publicAddresses.length === 0
        ? [address]
        : publicAddresses.map((host) => (/:\d+$/.test(host) ? host : `${host}${port}`));
    });
}
