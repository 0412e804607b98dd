import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';

import { EVERYONE, Lane } from '../delivery/lane.js';
import type { SessionRef } from '../logic-link.js';
import type { Session } from './session.js';

/** What a connection that was taken over is told, wherever the newer one is. */
export const TAKEN_OVER_REASON = 'The key connected again.';

/** The authenticated connections of this comet, by key. */
export class SessionTable {
  readonly #byKey = new Map<ConnectionKey, Session>();
  /** How many of them each client address has. */
  readonly #byAddress = new Map<string, number>();
  /** All of them, for pushes to everyone: filtered by what each accepts. */
  readonly everyone = new Lane('everyone', EVERYONE);

  get size(): number {
    return this.#byKey.size;
  }

  /** Distinct client addresses of those that are counted by `size`. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  get(key: ConnectionKey): Session | undefined {
    return this.#byKey.get(key);
  }

  sessions(): IterableIterator<Session> {
    return this.#byKey.values();
  }

  /** The connection at `index` in no particular order, to walk in slices. */
  at(index: number): Session | undefined {
    return this.everyone.roster.at(index) as Session | undefined;
  }

  /**
   * Adds a connection, unless one of a newer owner has the key; answers whether it did. Who had the key until now is taken
   * over, within one user: it is closed, and its route is not touched. Throws `key_in_use` for another user's key.
   */
  add(session: Session, route: SessionRef): boolean {
    const present = this.#byKey.get(route.key);
    if (present?.state.name === 'online') {
      const { identity } = present.state;
      if (identity.mid !== route.mid) throw new HalleyError('key_in_use');
      if (identity.owner > route.owner) return false;
      present.close(CloseCode.TakenOver, TAKEN_OVER_REASON, false);
    }
    const replaced = this.#byKey.get(route.key);
    if (replaced) this.#count(replaced, -1);
    this.#byKey.set(route.key, session);
    this.#count(session, 1);
    this.everyone.roster.add(session);
    return true;
  }

  /** Removes a connection, not one that took its key over. */
  remove(session: Session): void {
    if (session.state.name === 'online' && this.#byKey.get(session.state.identity.key) === session) {
      this.#byKey.delete(session.state.identity.key);
      this.#count(session, -1);
    }
    this.everyone.roster.remove(session);
  }

  #count({ transport }: Session, change: 1 | -1): void {
    const count = (this.#byAddress.get(transport.clientIp) ?? 0) + change;
    if (count > 0) this.#byAddress.set(transport.clientIp, count);
    else this.#byAddress.delete(transport.clientIp);
  }
}
