import { ClientError, wrapped } from '../client-error.js';
import type { Clock } from '../clock.js';
import { fits, type TransportName } from '../transport/transport.js';

/** Asks for addresses, best first. */
export type Nodes = () => readonly string[] | Promise<readonly string[]>;

/**
 * Which comet to connect to. The one that failed longest ago, or never, is next; among such ones the order of `nodes`
 * counts. Given addresses are shuffled once, so that clients spread over them.
 */
export class Addresses {
  readonly #nodes: Nodes | undefined;
  readonly #given: readonly string[];
  /** The last answer of `nodes`, for when it fails. */
  #known: readonly string[] = [];
  /** Address → the count of failures when it failed last. */
  readonly #failed = new Map<string, number>();
  #failures = 0;

  constructor(given: readonly string[], nodes: Nodes | undefined, clock: Clock) {
    this.#nodes = nodes;
    this.#given = given
      .map((address) => ({ address, at: clock.random() }))
      .sort((a, b) => a.at - b.at)
      .map(({ address }) => address);
  }

  /** Only one for this transport, where one is named. Throws ClientError `no_address` when there is none. */
  async next(transport?: TransportName): Promise<string> {
    const all = [...(await this.#asked()), ...this.#given].filter(
      (address) => !transport || fits(transport, address),
    );
    const when = (address: string): number => this.#failed.get(address) ?? 0;
    const [best] = all.sort((a, b) => when(a) - when(b));
    if (best === undefined) {
      throw new ClientError('no_address', 'There is no address.', { temporary: true });
    }
    return best;
  }

  /** It refused, drains, or the connection to it ended: others first. */
  failed(address: string): void {
    this.#failures += 1;
    this.#failed.set(address, this.#failures);
    // Names that nobody tells any more are forgotten some time.
    const [oldest] = this.#failed.keys();
    if (this.#failed.size > 100 && oldest !== undefined) this.#failed.delete(oldest);
  }

  async #asked(): Promise<readonly string[]> {
    if (!this.#nodes) return [];
    try {
      this.#known = await this.#nodes();
    } catch (cause) {
      if (this.#known.length + this.#given.length === 0) {
        throw wrapped('no_address', cause, true);
      }
    }
    return this.#known;
  }
}

/** The address of a node that a Move names, `host` or `host:port`: all else is as in `address`. */
export function addressOf(node: string, address: string): string {
  return address.replace(
    /^(\w+:\/\/)[^/]*?(:\d+)?(\/.*)?$/,
    (_, scheme: string, port: string = '', path: string = '') =>
      scheme + node + (/:\d+$/.test(node) ? '' : port) + path,
  );
}
