import { HalleyError } from '@halley/protocol/error';
import { isLoopback } from '@halley/service/node-config';

import type { ClusterConfig } from './config.js';

/** What decides who may come in. */
export interface Doors {
  readonly node: { readonly bind: string };
  readonly auth: { readonly mode: string };
  readonly cluster: Pick<ClusterConfig, 'token' | 'tlsClientCaFile'>;
  readonly insecure: boolean;
}

/**
 * Throws `bad_config` when others than this machine reach a node that believes any client (`auth.mode: open`) or any
 * caller of the tiers' own gRPC, unless `insecure` allows it.
 */
export function refuseOpenDoors({ node, auth, cluster, insecure }: Doors): void {
  if (insecure || isLoopback(node.bind)) return;
  if (auth.mode === 'open') {
    throw openDoor(node.bind, 'auth.mode open believes every token', 'set auth.mode to jwt');
  }
  if (cluster.token === '' && cluster.tlsClientCaFile === '') {
    throw openDoor(
      node.bind,
      "the tiers' own gRPC asks nobody who they are",
      'set cluster.token (the same on every node) or cluster.tlsClientCaFile',
    );
  }
}

/** The error of a door that stands open to others: what is open, and what would close it. */
export function openDoor(bind: string, what: string, remedy: string): HalleyError {
  return new HalleyError(
    'bad_config',
    `${what}, and ${bind} is reachable by others: ${remedy}, bind to 127.0.0.1, or give --insecure`,
  );
}
