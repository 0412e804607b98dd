import type { Position } from '@halley/store/streams/streams';

import type { SharedPush } from '../delivery/encoded.js';
import type { Gap } from '../delivery/sequencer.js';
import type { StreamEntry } from '../logic-link.js';

/** How much of a stream may be sent to a connection now. */
export interface Budget {
  readonly entries: number;
  readonly bytes: number;
  /** The first entry goes whatever its size: nothing is ahead of it. */
  readonly one: boolean;
}

/** What a page leaves its stream at. */
export interface Place {
  /** Up to where everything had its turn. */
  readonly through: Position;
  /** Whether more is known to be there already. */
  readonly more: boolean;
}

/**
 * How one connection is sent the entries of one stream, and where its device goes on when it comes back. Which entries, and
 * when it is whose turn, is the follower's; what is sent here was admitted, or was in a budget, in the same tick.
 */
export interface Sink {
  /** Whether the client says what it has handled. */
  readonly acknowledged: boolean;
  /**
   * Whether a page may be read now; otherwise the reader is told when it may (`StreamReader.drained`). `empty`: only an
   * entry is next that goes when nothing else is ahead of it.
   */
  ready(empty: boolean): boolean;
  budget(): Budget;
  /** What an entry takes of the budget's bytes. */
  bytesOf(entry: StreamEntry): number;
  /** Whether an entry may be sent now. */
  admits(push: SharedPush): boolean;
  /** Sends an entry as it comes. */
  send(push: SharedPush, position: Position): void;
  /** Sends what was chosen of a page, which may be nothing. */
  page(entries: readonly StreamEntry[], place: Place): void;
  /** Positions cannot be read any more: ahead of what is sent next. */
  lost(gap: Gap): void;
  /** The stream was begun anew: it goes on behind `floor` of another epoch. */
  restart(epoch: string, floor: Position): void;
  /** The client's heartbeat. */
  beat(last: Position): void;
  /** The client has handled everything up to here; answers whether that is news. */
  acked(position: Position): boolean;
  /** Up to where everything has left the node, at least; `last` is up to where everything had its turn. */
  left(last: Position): Position;
  /** Where the device goes on when it comes back; `last` is up to where everything had its turn. */
  cursor(last: Position): Position;
}
