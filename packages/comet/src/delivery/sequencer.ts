import type { Position } from '@halley/store/streams/streams';

/** What a hint leads to: its entry's turn has come, there is nothing to do, or the stream has to be read. */
export type HintDecision = 'send' | 'drop' | 'pull';

/**
 * What follows a page: the stream is level, the next page can be asked for at once, or asking at once would bring the same
 * again (the store is behind what was hinted) and has to wait a moment.
 */
export type PageNext = 'live' | 'again' | 'later';

/** Positions in (after, through] that cannot be read any more. */
export interface Gap {
  readonly after: Position;
  readonly through: Position;
}

/** An answer to a read of one stream above a position that this sequencer had. */
export interface SequencedPage {
  /** In order; those at or below the gap are not among them. */
  readonly entries: readonly { readonly position: Position }[];
  /** Nothing between the position read from and this is missing from the page, unless it is in the gap. */
  readonly through: Position;
  /** What retention took. */
  readonly gap?: Gap;
  /** Whether entries above `through` are known to be there. */
  readonly more: boolean;
}

export interface PageDecision {
  /** To be declared to the client before the entries. */
  readonly gap: Gap | undefined;
  /** Entries from this index on are to be sent; those before it have had their turn. */
  readonly first: number;
  readonly next: PageNext;
}

/**
 * The order of one stream on one connection: which entry's turn it is, and whether the stream has to be read.
 *
 * It does no I/O: whoever drives it writes the route before the first pull, has one read under way at a time, starts it
 * when the outbox has drained and the in-flight window is open, and applies filters after the turn was given, so that an
 * entry which is filtered away advances the stream silently. Between two values of `last` no entry lies that was not
 * given its turn or declared as a gap.
 */
export class Sequencer {
  #last: Position;
  #want: Position;
  #live: boolean;

  /**
   * Opens the stream behind `cursor`, the last position that the client has. The first thing to do is to pull, unless the
   * cursor was the stream's end when the route was already written (`atEnd`): what comes above it is hinted.
   */
  constructor(cursor: Position, atEnd = false) {
    this.#last = cursor;
    this.#want = cursor;
    this.#live = atEnd;
  }

  /** Up to where everything had its turn. */
  get last(): Position {
    return this.#last;
  }

  /** Up to where entries are known to be; above `last` only while the stream is pulled. */
  get want(): Position {
    return this.#want;
  }

  /** Whether hints are sent as they come; otherwise the stream has to be pulled. */
  get live(): boolean {
    return this.#live;
  }

  /**
   * A hint came. `prev` is the position before it in the stream; `sendable` is whether its body came along and there is
   * room for it in the outbox and in the in-flight window. On `send` the stream has moved on to `position`.
   */
  hint(position: Position, prev: Position, sendable: boolean): HintDecision {
    if (position <= this.#last) return 'drop';
    if (this.#live && sendable && prev <= this.#last) {
      this.#last = position;
      this.#want = position;
      return 'send';
    }
    return this.#pull(position);
  }

  /** A renewal told the stream's newest position, or a hint did that names nothing else. */
  renewed(newest: Position): Exclude<HintDecision, 'send'> {
    return newest <= this.#last ? 'drop' : this.#pull(newest);
  }

  /** Hints may have been lost, and nobody can tell up to where: the stream has to be pulled. */
  suspect(): void {
    this.#live = false;
  }

  /**
   * A page came; the stream has moved on to what it covers. A late answer to an earlier read does no harm.
   */
  page(page: SequencedPage): PageDecision {
    const before = this.#last;
    const lost = page.gap !== undefined && page.gap.through > before ? page.gap.through : undefined;
    this.#last = Math.max(before, lost ?? before, page.through);
    this.#want = Math.max(this.#want, this.#last);
    if (!page.more && this.#last >= this.#want) this.#live = true;
    const first = page.entries.findIndex((entry) => entry.position > before);
    return {
      gap: lost === undefined ? undefined : { after: before, through: lost },
      first: first === -1 ? page.entries.length : first,
      next: this.#live ? 'live' : this.#last > before || page.more ? 'again' : 'later',
    };
  }

  /** The bus began a new epoch, whose positions are others: starts behind `floor`, after a gap was declared. */
  restart(floor: Position): void {
    this.#last = floor;
    this.#want = floor;
    this.#live = false;
  }

  #pull(position: Position): 'pull' {
    this.#live = false;
    if (position > this.#want) this.#want = position;
    return 'pull';
  }
}
