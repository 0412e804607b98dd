import type { NodeRecord } from '@halley/cluster/registry/registry';

/** goim's: the bounds of a node's weight, and how many nodes a client is told of. */
const MIN_WEIGHT = 1;
const MAX_WEIGHT = 2 ** 20;
const MAX_OFFERED = 5;

interface WeightedNode {
  readonly record: NodeRecord;
  /** As registered, and one more for each time it was offered first since. */
  connections: number;
  current: number;
}

/**
 * Orders comets for new clients as goim does: by weight against share of connections, where the client's region counts
 * `regionWeight` times. Unlike goim it follows every change of the view, also when most nodes leave at once.
 * Draining nodes and those of weight 0 are offered to nobody.
 */
export class Balancer {
  #nodes = new Map<string, WeightedNode>();

  constructor(private readonly regionWeight: number) {}

  /** Takes over the registered nodes. A node that was not written anew keeps what it was offered since. */
  update(records: readonly NodeRecord[]): void {
    const nodes = new Map<string, WeightedNode>();
    for (const record of records) {
      if (record.state !== 'serving' || record.weight <= 0) continue;
      const known = this.#nodes.get(record.id);
      nodes.set(
        record.id,
        known?.record === record ? known : { record, connections: record.load.connections, current: 0 },
      );
    }
    this.#nodes = nodes;
  }

  /** At most five nodes, best first, for a client of this region (empty: unknown). The first is taken to be chosen. */
  offer(region: string): readonly NodeRecord[] {
    const nodes = [...this.#nodes.values()];
    const totalConnections = nodes.reduce((sum, node) => sum + node.connections, 0);
    const totalWeight = nodes.reduce((sum, node) => sum + node.record.weight, 0);
    const gained = (node: WeightedNode): number =>
      node.record.weight * (region !== '' && node.record.region === region ? this.regionWeight : 1);
    for (const node of nodes) {
      node.current = currentWeight(node, gained(node), totalWeight, totalConnections);
    }
    nodes.sort(
      (a, b) => b.current - a.current || gained(b) - gained(a) || (a.record.id < b.record.id ? -1 : 1),
    );
    const [first] = nodes;
    if (first) first.connections += 1;
    return nodes.slice(0, MAX_OFFERED).map(({ record }) => record);
  }
}

/** goim's weight of one node: its own, plus what it lacks of its share (connections count half). */
function currentWeight(
  node: WeightedNode,
  gained: number,
  totalWeight: number,
  totalConnections: number,
): number {
  if (totalConnections === 0) return 0;
  const total = totalWeight + Math.trunc(gained) - node.record.weight;
  const lacking = gained / total - (node.connections / totalConnections) * 0.5;
  const wanted = lacking * totalConnections;
  const floor = Math.floor(wanted);
  const rounded = floor - wanted >= -0.5 ? floor : Math.ceil(wanted);
  const weight = Math.trunc(gained + rounded);
  return lacking < 0 ? Math.max(MIN_WEIGHT, weight) : Math.min(MAX_WEIGHT, weight);
}
