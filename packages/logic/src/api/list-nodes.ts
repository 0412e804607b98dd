import type { Node } from '@halley/cluster/grpc/gen/halley/push/v1/Node';
import type { NodeRecord, TierView } from '@halley/cluster/registry/registry';

import { invalid } from '../push/target.js';

/** The registered nodes of a tier, or of all (empty). Throws `invalid_argument` for a tier that there is not. */
export function listNodes(tiers: readonly TierView[], tier: string): Node[] {
  if (!['', 'comet', 'logic', 'job'].includes(tier)) {
    throw invalid('tier', 'comet, logic, job, or empty for all');
  }
  return tiers
    .flatMap((view) => view.nodes())
    .filter((node) => tier === '' || node.tier === tier)
    .map(nodeOf)
    .toSorted((a, b) => (`${a.tier} ${a.id}` < `${b.tier} ${b.id}` ? -1 : 1));
}

function nodeOf(node: NodeRecord): Node {
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
