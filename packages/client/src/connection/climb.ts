import type { Core } from '../core.js';
import type { TransportName } from '../transport/transport.js';

/** Where the store has what worked last, while that is not the best; Core reads it. */
const KEY = 'transport';
/** A transport that costs the connection is tried at most so much more rarely. */
const MAX_ROUNDS = 64;

/** Goes up to a better transport again once that gets through, and keeps in the store where it stands. */
export class Climb {
  readonly #core: Core;
  #cancel: () => void = () => undefined;
  #round = 0;
  /** What has cost the connection in use: when it is tried next, and how many rounds that was. */
  readonly #dear = new Map<TransportName, { readonly next: number; readonly rounds: number }>();

  constructor(core: Core) {
    this.#core = core;
    core.events.on('transport', (name) => void this.#keep(name));
    core.events.on('state', ({ name }) => {
      this.#cancel();
      if (name === 'connected') this.#schedule();
    });
    void this.#keep(core.connector.link?.transport);
    this.#schedule();
  }

  /** What would be better than what is in use, best first. */
  get #better(): readonly TransportName[] {
    const { connector, ladder } = this.#core;
    const { link } = connector;
    if (!link || ladder.pinned) return [];
    return ladder.names.slice(0, Math.max(0, ladder.names.indexOf(link.transport)));
  }

  #schedule(): void {
    this.#cancel();
    const { clock, connector, settings } = this.#core;
    if (connector.state.name === 'connected' && connector.link?.transport !== settings.transports[0]) {
      this.#cancel = clock.after(settings.upgradeAfterMs, () => void this.#try());
    }
  }

  async #try(): Promise<void> {
    const { connector } = this.#core;
    const { link } = connector;
    this.#round += 1;
    for (const name of this.#better) {
      // Meanwhile somebody may have chosen, or the connection may have ended.
      if (link !== connector.link || !this.#better.includes(name)) break;
      if ((this.#dear.get(name)?.next ?? 0) > this.#round) continue;
      try {
        await connector.use(name);
        this.#dear.delete(name);
        return;
      } catch {
        if (link !== connector.link) this.#waste(name);
      }
    }
    this.#schedule();
  }

  /**
   * The server had taken the new connection, which ended the old one, and its answer was swallowed on the way: each trial is a
   * break, so the next ones come more and more rarely.
   */
  #waste(name: TransportName): void {
    const rounds = Math.min(MAX_ROUNDS, 2 * (this.#dear.get(name)?.rounds ?? 1));
    this.#dear.set(name, { next: this.#round + rounds, rounds });
  }

  /** The next start begins there. A store that fails costs that only. */
  async #keep(name: TransportName | undefined): Promise<void> {
    const { ladder, store } = this.#core;
    try {
      await store.set(KEY, ladder.names.indexOf(name as TransportName) > 0 ? name : undefined);
    } catch {
      // It is asked again with the next change.
    }
  }
}
