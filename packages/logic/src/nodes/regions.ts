import { BlockList, isIP } from 'node:net';

import { HalleyError } from '@halley/protocol/error';

/** Networks of clients by region: `{ sh: ['10.1.0.0/16'] }`. */
export class Regions {
  readonly #networks: readonly { readonly region: string; readonly list: BlockList }[];

  /** Throws `bad_config` that names a malformed network. `fallback` is the region of everybody else. */
  constructor(
    regions: Readonly<Record<string, readonly string[]>>,
    private readonly fallback: string,
  ) {
    this.#networks = Object.entries(regions).map(([region, networks]) => ({
      region,
      list: blockListOf(region, networks),
    }));
  }

  /** The region of a client at this address (empty: unknown). */
  of(address: string): string {
    const family = isIP(address);
    if (family === 0) return this.fallback;
    const kind = family === 4 ? 'ipv4' : 'ipv6';
    return this.#networks.find(({ list }) => list.check(address, kind))?.region ?? this.fallback;
  }
}

function blockListOf(region: string, networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    try {
      list.addSubnet(address, prefix === undefined ? (family === 'ipv6' ? 128 : 32) : Number(prefix), family);
    } catch (cause) {
      throw new HalleyError(
        'bad_config',
        `nodes.regions.${region}: "${network}" is not a network as 10.1.0.0/16`,
        { cause },
      );
    }
  }
  return list;
}
