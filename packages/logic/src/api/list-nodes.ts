import type { NodeRecord, TierView } from '@halley/cluster/registry/registry';

import { invalid } from '../push/target.js';

/** The registered nodes of a tier, or of all (empty). Throws `invalid_argument` for a tier that there is not. */
export function listNodes(tiers: readonly TierView[], tier: string): ListedNode[] {
  if (!['', 'comet', 'logic', 'job'].includes(tier)) {
    throw invalid('tier', 'comet, logic, job, or empty for all');
  }
  return tiers
    .flatMap((view) => view.nodes())
    .filter((node) => tier === '' || node.tier === tier)
    .map(nodeOf)
    .toSorted((a, b) => (`${a.tier} ${a.id}` < `${b.tier} ${b.id}` ? -1 : 1));
}

/** A node as it is told over gRPC and HTTP. */
export type ListedNode = ReturnType<typeof nodeOf>;

function nodeOf(node: NodeRecord) {
  return {
    tier: node.tier,
    id: node.id,
    incarnation: node.incarnation,
    state: node.state,
    addresses: { ...node.addresses },
    region: node.region,
    zone: node.zone,
    weight: node.weight,
    connections: node.load.connections,
    registered_at_ms: node.registeredAtMs,
  };
}
