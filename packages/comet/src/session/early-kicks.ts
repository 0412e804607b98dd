import type { CloseCode } from '@halley/protocol/close-code';
import type { Clock } from '@halley/service/clock';

/** With what a connection is to be closed. */
export interface EarlyKick {
  readonly code: CloseCode;
  readonly reason: string;
}

export interface EarlyKicksDeps {
  readonly clock: Clock;
  /** How long a kick is remembered: as long as a handshake may take. */
  readonly holdMs: number;
}

/** Kicks remembered at most; the oldest goes first, and its connection is closed when its route is renewed. */
const MAX_KICKS = 10_000;

/**
 * Kicks that named a connection which is not in the tables: its route is written before it is, so a takeover elsewhere
 * can come in between. They are remembered by owner sequence, which no two connections share, for the end of the
 * handshake.
 */
export class EarlyKicks {
  readonly #kicks = new Map<string, EarlyKick & { readonly untilMs: number }>();

  constructor(private readonly deps: EarlyKicksDeps) {}

  /** Kicks that are remembered. */
  get size(): number {
    return this.#kicks.size;
  }

  add(owner: string, { code, reason }: EarlyKick): void {
    const now = this.deps.clock.monotonicMs();
    for (const [oldest, { untilMs }] of this.#kicks) {
      if (untilMs > now && this.#kicks.size < MAX_KICKS) break;
      this.#kicks.delete(oldest);
    }
    this.#kicks.set(owner, { code, reason, untilMs: now + this.deps.holdMs });
  }

  /** The kick of this owner, forgotten with the answer; undefined when there was none. */
  take(owner: string): EarlyKick | undefined {
    const kick = this.#kicks.get(owner);
    this.#kicks.delete(owner);
    return kick;
  }
}
