import type { Clock } from '@halley/service/clock';
import type { Exceptions } from '@halley/service/exceptions';
import type { Logger } from '@halley/service/log';

import type { CometMetrics } from '../comet-metrics.js';
import type { StreamReader } from '../delivery/stream-reader.js';
import type { RoomTable } from '../delivery/room-table.js';
import type { LogicLink } from '../logic-link.js';
import type { PresenceWatch } from '../presence-watch.js';
import type { RoomDirectory } from '../room-directory.js';
import type { AcceptSets } from './accepts.js';
import type { Deadlines } from './deadlines.js';
import type { EarlyHints } from './early-hints.js';
import type { EarlyKicks } from './early-kicks.js';
import type { HintRoom } from './held-hints.js';
import type { Leavers } from './leavers.js';
import type { Releases } from './releases.js';
import type { RoomEnds } from './room-ends.js';
import type { RoomGrants } from './room-grants.js';
import type { SessionTable } from './session-table.js';
import type { SharedTexts } from './shared-texts.js';
import type { StreamIndex } from './stream-index.js';

/** What the sessions of one node share. */
export interface SessionDeps {
  readonly logic: LogicLink;
  readonly table: SessionTable;
  readonly streams: StreamIndex;
  readonly reader: StreamReader;
  readonly rooms: RoomTable;
  readonly directory: RoomDirectory;
  readonly roomEnds: RoomEnds;
  readonly deadlines: Deadlines;
  readonly releases: Releases;
  readonly earlyKicks: EarlyKicks;
  readonly earlyHints: EarlyHints;
  readonly hintRoom: HintRoom;
  readonly leavers: Leavers;
  readonly accepts: AcceptSets;
  readonly roomGrants: RoomGrants;
  readonly sharedTexts: SharedTexts;
  readonly metrics: CometMetrics;
  readonly exceptions: Exceptions;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: SessionLimits;
  readonly presence: PresenceWatch;
  /** Largest body of a client's frame, also when it is inflated, in bytes. */
  readonly maxBodyBytes: number;
  /** The next connection's number of this incarnation. */
  nextCounter(): number;
}

export interface SessionLimits {
  /** From the accepted connection to the reply to its auth. */
  readonly handshakeTimeoutMs: number;
  /** A closing connection is cut off when the client has not closed its side by then. */
  readonly closeTimeoutMs: number;
  /** Bytes of frames that may come, and are ignored, ahead of the auth. */
  readonly maxEarlyBytes: number;
  /** A connection of which nothing has left for so long, while something waits, is closed. */
  readonly frozenTimeoutMs: number;
  /** Whether devices that do not acknowledge go on where they were when they come back soon. */
  readonly ver1Cursors: boolean;
  /** Whether clients that ask for version 2 get it. */
  readonly version2: boolean;
  /** Entries, and bytes of bodies, of a stream that are sent ahead of the acknowledgements of a client with version 2. */
  readonly windowEntries: number;
  readonly windowBytes: number;
  /** A client with version 2 that acknowledges nothing for so long, while more waits behind its window, is closed. */
  readonly ackTimeoutMs: number;
  /** Rooms that a connection with version 2 may be in. */
  readonly maxRooms: number;
  /** Users whose presence it may watch. */
  readonly maxWatched: number;
  /** Ephemeral messages that it may send a second. */
  readonly ephemeralsPerSecond: number;
}
