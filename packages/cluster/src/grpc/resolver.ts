import {
  Channel,
  type ChannelCredentials,
  type ChannelOptions,
  connectivityState,
  experimental,
  Metadata,
  status,
} from '@grpc/grpc-js';
import { systemClock } from '@halley/service/clock';

import type { TierView } from '../registry/registry.js';
import { EndpointSet, type Probe } from './endpoint-set.js';
import { CODE_TRAILER } from './status.js';

const SCHEME = 'halley';

/** Channel options with this prefix don't tell two connections to one address apart. */
const NODES_OPTION = `${experimental.SUBCHANNEL_ARGS_EXCLUDE_KEY_PREFIX}.halley.nodes`;

/** Where a channel's addresses come from. */
type Nodes = TierNodes | { readonly address: string };

interface TierNodes {
  readonly tier: string;
  readonly view: TierView;
  readonly holdMs: number;
  readonly credentials: ChannelCredentials;
}

/** The target and options of a channel to every node of a tier, kept up to date from the registry's view. */
export function tierChannel(
  nodes: TierNodes,
  options: ChannelOptions,
): { readonly target: string; readonly options: ChannelOptions } {
  experimental.registerResolver(SCHEME, TierResolver);
  return { target: `${SCHEME}:///${nodes.tier}`, options: { ...options, [NODES_OPTION]: nodes } };
}

/** Feeds a channel's balancer from a view. grpc-js makes one per channel, and again after the channel was idle. */
class TierResolver implements experimental.Resolver {
  readonly #target: string;
  #endpoints: EndpointSet | undefined;
  #resolved = false;
  #told: readonly string[] = [];

  constructor(
    target: experimental.GrpcUri,
    private readonly listener: experimental.ResolverListener,
    private readonly options: ChannelOptions,
  ) {
    this.#target = experimental.uriToString(target);
  }

  static getDefaultAuthority(target: experimental.GrpcUri): string {
    return target.path;
  }

  updateResolution(): void {
    // Asked again whenever a connection fails; answering that with the same addresses would connect in a loop.
    if (this.#resolved) return;
    this.#resolved = true;
    const nodes = this.options[NODES_OPTION] as Nodes;
    if ('address' in nodes) {
      process.nextTick(() => {
        if (this.#resolved) this.#tell([nodes.address]);
      });
      return;
    }
    const endpoints = new EndpointSet({
      view: nodes.view,
      holdMs: nodes.holdMs,
      probe: (address) => this.#probe(address, nodes.credentials),
      clock: systemClock,
      onChange: (addresses) => this.#tell(addresses),
    });
    this.#endpoints = endpoints;
    endpoints.open();
    process.nextTick(() => {
      if (this.#endpoints === endpoints) this.#tell(endpoints.addresses);
    });
  }

  destroy(): void {
    this.#endpoints?.close();
    this.#endpoints = undefined;
    this.#resolved = false;
    this.#told = [];
  }

  #tell(addresses: readonly string[]): void {
    if (addresses.length > 0 || this.#told.length > 0) {
      const endpoints = addresses
        .map((address) => experimental.splitHostPort(address))
        .filter((hostPort) => hostPort !== null)
        .map(({ host, port }) => ({ addresses: [{ host, port: port ?? 443 }] }));
      this.listener(experimental.statusOrFromValue(endpoints), {}, null, '');
    }
    this.#told = addresses;
    if (addresses.length > 0) return;
    const metadata = new Metadata();
    metadata.set(CODE_TRAILER, 'no_node');
    const details = `No node of the tier ${this.#target.replace(/^.*\//, '')} is registered.`;
    this.listener(
      experimental.statusOrFromError({ code: status.UNAVAILABLE, details, metadata }),
      {},
      null,
      '',
    );
  }

  /** A second channel to one address, which shares the connection of the first: same target, options and credentials. */
  #probe(address: string, credentials: ChannelCredentials): Probe {
    const channel = new Channel(this.#target, credentials, { ...this.options, [NODES_OPTION]: { address } });
    channel.getConnectivityState(true);
    return {
      working: () => channel.getConnectivityState(true) === connectivityState.READY,
      close: () => channel.close(),
    };
  }
}
