import type { ClusterFile } from './cluster-file.js';
import type { OpenNetwork } from './fault.js';
import type { NodeSlot } from './node-slot.js';
import { Relay } from './relay.js';

/** What nodes can be cut off from: others that call them, or a service. */
export const LINKS = ['comet', 'logic', 'redis', 'zookeeper', 'mariadb'] as const;

export type Link = (typeof LINKS)[number];

/** Addresses of this machine that nobody else uses: the n-th node is told to others as 127.0.53.n. */
const ADVERTISED = '127.0.53.';

interface Cuttable {
  readonly link: Link;
  readonly node: string;
  readonly relay: Relay;
}

/**
 * Relays between the nodes of a cluster on this machine. To have them used, the nodes are started again in their places: each
 * tells others an address of its own for its calls, or is told one for a service.
 */
export class Network implements OpenNetwork {
  private constructor(
    private readonly nodes: readonly NodeSlot[],
    private readonly relays: readonly Cuttable[],
  ) {}

  static async open(
    cluster: ClusterFile,
    nodes: readonly NodeSlot[],
    links: readonly Link[],
  ): Promise<Network> {
    const relays: Cuttable[] = [];
    const network = new Network(nodes, relays);
    try {
      for (const [index, slot] of nodes.entries()) {
        for (const link of links) {
          if (link === slot.node.tier) {
            const port = slot.node.ports['grpc'] ?? 0;
            const relay = await Relay.open(`127.0.0.1:${port}`, `${ADVERTISED}${index + 1}`, port);
            relays.push({ link, node: slot.name, relay });
            // Clients go on to connect directly.
            slot.moreArguments.push('--advertise', `${ADVERTISED}${index + 1}`);
            slot.moreArguments.push('--node.publicAddresses', '127.0.0.1');
          } else if (link !== 'comet' && link !== 'logic') {
            const { address = '' } = cluster.services[link] ?? {};
            const flags = flagsWith(cluster.arguments[slot.node.tier] ?? [], address);
            if (flags.length === 0) continue;
            const relay = await Relay.open(address);
            relays.push({ link, node: slot.name, relay });
            for (const [flag, value] of flags)
              slot.moreArguments.push(flag, value.replace(address, relay.address));
          }
        }
      }
      await network.#restart();
      return network;
    } catch (error) {
      await network.close();
      throw error;
    }
  }

  /** One of those that can be cut off from it; others go on. */
  pick(link: Link, turn: number): { readonly node: string; cut(): void; mend(): void } | undefined {
    const own = this.relays.filter((one) => one.link === link);
    const found = own[turn % own.length];
    return found && { node: found.node, cut: () => found.relay.cut(), mend: () => found.relay.mend() };
  }

  /** Starts the nodes again without relays. */
  async close(): Promise<void> {
    const rerouted = this.nodes.filter(({ moreArguments }) => moreArguments.length > 0);
    for (const { moreArguments } of rerouted) moreArguments.length = 0;
    await restartAll(rerouted);
    await Promise.all(this.relays.map(({ relay }) => relay.close()));
  }

  #restart(): Promise<void> {
    return restartAll(this.nodes.filter(({ moreArguments }) => moreArguments.length > 0));
  }
}

async function restartAll(nodes: readonly NodeSlot[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.kill()));
  await Promise.all(nodes.map((node) => node.start()));
}

/** The options whose value has the address in it. */
function flagsWith(args: readonly string[], address: string): [flag: string, value: string][] {
  return args.flatMap((flag, index): [string, string][] => {
    const value = args[index + 1];
    return flag.startsWith('--') && value?.includes(address) ? [[flag, value]] : [];
  });
}
