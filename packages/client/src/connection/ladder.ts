import type { TransportName } from '../transport/transport.js';

/** Which transport an address is tried by: the best that is known to get through, worse ones when it does not. */
export class Ladder {
  /** Best first. */
  readonly names: readonly TransportName[];
  readonly #fallbackAfter: number;
  /** Address → what worked there last. */
  readonly #worked = new Map<string, TransportName>();
  /** Where there is nothing to remember: what worked last anywhere, or is next. */
  #rung = 0;
  #failures = 0;
  /** Chosen by hand. */
  pinned: TransportName | undefined;

  constructor(names: readonly TransportName[], fallbackAfter: number) {
    this.names = names;
    this.#fallbackAfter = fallbackAfter;
  }

  /** What an earlier start had told. */
  begin(name: string | undefined): void {
    const rung = this.names.indexOf(name as TransportName);
    if (rung >= 0) this.#rung = rung;
  }

  pick(address: string): TransportName {
    if (address.startsWith('t')) return 'tcp';
    return this.pinned ?? this.#worked.get(address) ?? this.names[this.#rung] ?? 'websocket';
  }

  /** It did not get through. `silent`: somebody was there and never said anything, as proxies are that swallow. */
  failed(name: TransportName, silent: boolean): void {
    if (name === 'tcp' && !this.pinned) return;
    this.#failures += 1;
    if (!silent && this.#failures < this.#fallbackAfter) return;
    this.#failures = 0;
    this.pinned = undefined;
    this.#worked.clear();
    // Below the last one it begins again: it was the server that was away, or another network is there by then.
    this.#rung = (this.names.indexOf(name) + 1) % this.names.length;
  }

  opened(address: string, name: TransportName): void {
    this.#failures = 0;
    this.#worked.set(address, name);
    this.begin(name);
  }
}
