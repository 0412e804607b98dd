import type { Session } from './session.js';

/** With what one connection can have queued, some tens of MiB. */
const MAX_LEAVERS = 1_000;

/**
 * The connections of one node that are gone while what they said is still being handed over. They count for no limit of
 * connections any more, so they have one of their own; beyond it what a connection had queued is dropped when it goes.
 */
export class Leavers {
  readonly #sessions = new Set<Session>();

  constructor(private readonly max = MAX_LEAVERS) {}

  get size(): number {
    return this.#sessions.size;
  }

  /** Answers whether it may go on. */
  tryAdd(session: Session): boolean {
    if (this.#sessions.size >= this.max) return false;
    this.#sessions.add(session);
    return true;
  }

  delete(session: Session): void {
    this.#sessions.delete(session);
  }
}
