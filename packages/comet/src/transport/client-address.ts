import { BlockList, isIP } from 'node:net';

import { HalleyError } from '@halley/protocol/error';

/** An address as we compare and show it: an IPv4 address that came over an IPv6 socket is an IPv4 address. */
export function normalizeAddress(address: string | undefined): string {
  if (address === undefined) return '';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped?.[1] ?? address;
}

/** The proxies whose word on a client's address is taken: addresses and CIDR ranges. */
export class TrustedProxies {
  readonly #list = new BlockList();
  readonly #any: boolean;

  /** Throws `bad_config` for what is neither an address nor a range. */
  constructor(ranges: readonly string[]) {
    this.#any = ranges.length > 0;
    for (const range of ranges) this.#add(range);
  }

  /** Whether anybody is trusted. */
  get any(): boolean {
    return this.#any;
  }

  trusts(address: string): boolean {
    const family = isIP(address);
    if (!this.#any || family === 0) return false;
    return this.#list.check(address, family === 4 ? 'ipv4' : 'ipv6');
  }

  /**
   * The client that X-Forwarded-For names, seen from `peer`: the rightmost address that is no trusted proxy. What an
   * untrusted peer says is ignored, and so is everything left of what is no address.
   */
  forwardedFor(peer: string, header: string | undefined): string {
    let client = peer;
    if (header === undefined || !this.trusts(peer)) return client;
    for (const part of header.split(',').reverse()) {
      const address = forwardedAddress(part.trim());
      if (address === undefined) break;
      client = address;
      if (!this.trusts(address)) break;
    }
    return client;
  }

  #add(range: string): void {
    const [address = '', prefix, ...rest] = range.split('/');
    const family = isIP(address);
    const bits = prefix === undefined ? undefined : Number(prefix);
    const good =
      family !== 0 &&
      rest.length === 0 &&
      (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (family === 4 ? 32 : 128)));
    if (!good) {
      throw new HalleyError(
        'bad_config',
        `proxy.trusted: "${range}" is neither an address nor a range as 10.0.0.0/8.`,
      );
    }
    const type = family === 4 ? 'ipv4' : 'ipv6';
    if (bits === undefined) this.#list.addAddress(address, type);
    else this.#list.addSubnet(address, bits, type);
  }
}

/** `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1` or `[2001:db8::1]:567`. */
function forwardedAddress(text: string): string | undefined {
  const bracketed = /^\[([0-9a-fA-F:.]+)\](?::\d+)?$/.exec(text)?.[1];
  const withPort = /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1];
  const address = normalizeAddress(bracketed ?? withPort ?? text);
  return isIP(address) === 0 ? undefined : address;
}
