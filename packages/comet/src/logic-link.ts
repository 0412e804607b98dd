import type { Presence, ReadPosition } from '@halley/protocol/client/bodies';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { Frame } from '@halley/protocol/frame';
import type { ExceptionReport } from '@halley/service/exception-reports';
import type { Cursor, Position } from '@halley/store/streams/streams';

import type { Variant } from './delivery/format.js';
import type { About } from './delivery/outgoing.js';

/** What a client asked to connect with. */
export interface ConnectAsk {
  /** Counts the connections of this incarnation; orders owners. */
  readonly counter: number;
  readonly token: Uint8Array;
  readonly cookie: string;
  readonly clientIp: string;
  readonly transport: Variant;
  /** The device is not to be known again by its key: it starts at the end of its stream. */
  readonly withoutCursor: boolean;
  /** Where a device with version 2 wants to go on; absent for version 1. */
  readonly version2?: StartAsk;
}

/** Where a client wants to go on in a stream. */
export interface StartAsk {
  /** Undefined: where `start` says. */
  readonly cursor: Cursor | undefined;
  /** A value of the client protocol's `Start`. */
  readonly start: number;
}

/** What a token allows. */
export interface Grants {
  /** Unix milliseconds; 0 is never. */
  readonly tokenExpiresAtMs: number;
  /** Patterns of rooms that may be entered, unless all may. */
  readonly roomGrants: readonly string[];
  readonly anyRoom: boolean;
  /** Patterns of rooms that may be sent to, unless all may. */
  readonly publishGrants: readonly string[];
  readonly publishAny: boolean;
  readonly sendToUsers: boolean;
  /** Logic asks the business about what the token does not let it send. */
  readonly asksToSend?: boolean;
}

/** How far a device has seen a stream. */
export interface StreamCursor extends Cursor {
  readonly stream: string;
  /** Set where the client itself said so, with version 2: it is kept as long as messages can be resumed from. */
  readonly acknowledged?: boolean;
  /** Set where it has said more than when that was told last. */
  readonly moved?: boolean;
}

/** Where a device goes on in its user's stream. */
export interface StreamStart extends StreamCursor {
  /** Whether the position is the stream's end, read when the route was written: nothing is there to be read yet. */
  readonly atEnd: boolean;
  /** Whether the device is known again by its key: then its cursor is renewed. */
  readonly kept: boolean;
}

/** A session's route, as logic wrote it. */
export interface SessionRef {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  /** Owner sequence: the larger one is the newer owner. */
  readonly owner: string;
}

/** How a connection ended. */
export interface SessionEnd {
  /** 0: the client left, or the network did. */
  readonly code: number;
  readonly reason: string;
}

/** What logic answered to a good token. */
export interface Connected extends SessionRef, Grants {
  /** Empty is no room. */
  readonly roomId: string;
  readonly accepts: readonly number[];
  /** How long the connection lives without a heartbeat; 0 is not said. */
  readonly heartbeatMs: number;
  /** Absent for anonymous connections. */
  readonly start?: StreamStart;
  /** With version 2, how far the user has read the stream; absent when unknown. */
  readonly read?: ReadPosition;
  /** The end of everyone's stream a moment ago; absent where that is not kept. */
  readonly everyone?: StreamCursor;
}

/** A session whose lease is renewed. */
export interface SessionRenewal extends SessionRef {
  /** Where it goes on when it comes back. */
  readonly cursor?: StreamCursor;
  /** The newest position of its user's stream is wanted. */
  readonly wantsNewest: boolean;
}

/** A slice of what the comet holds. */
export interface RenewAsk {
  readonly sessions: readonly SessionRenewal[];
  readonly rooms: readonly RoomId[];
  /** Streams of which the newest position is wanted, beside those of the sessions' users. */
  readonly streams: readonly string[];
  /** Members here by room, when figures are due. */
  readonly online?: ReadonlyMap<RoomId, number>;
}

export interface RenewAnswer {
  /** Changes when the route store was lost. */
  readonly generation: string;
  /** Sessions whose route belongs to a newer owner. */
  readonly superseded: readonly SessionRef[];
  /** Members over the cluster by room, when figures were given. */
  readonly cluster: ReadonlyMap<string, number> | undefined;
  /** How long routes and rooms outlive this renewal, in milliseconds; 0 when logic does not say. */
  readonly leaseMs: number;
  /** The newest positions of the streams of the sessions that wanted it, in their order. */
  readonly newest: readonly Position[];
  /** The newest positions of the streams that were asked for, in their order. */
  readonly streamsNewest: readonly Position[];
}

/** A read of one stream above a position. */
export interface StreamRead {
  readonly stream: string;
  /** The epoch that `after` belongs to. */
  readonly epoch: string;
  readonly after: Position;
  readonly maxEntries: number;
  /** At least one entry is answered. */
  readonly maxBytes: number;
}

/** What a stream holds above the position that was read from. */
export interface StreamPage {
  /** Another than was asked for: the stream was begun anew, and was read from its floor. */
  readonly epoch: string;
  /** In order. */
  readonly entries: readonly StreamEntry[];
  /** Nothing above the position read from, or the gap, and up to here is missing from the page. */
  readonly through: Position;
  /** Whether entries above `through` are known to be there. */
  readonly more: boolean;
  /** Positions in (after, through] that cannot be read any more. */
  readonly gap?: { readonly after: Position; readonly through: Position };
  /** Entries up to `through` that nobody is shown any more. */
  readonly leftOut?: readonly LeftOutEntry[];
}

/** An entry that nobody is shown any more. */
export interface LeftOutEntry {
  readonly position: Position;
  readonly id: string;
  readonly caller: string;
  /** `collapsed`, or how its time ended. */
  readonly reason: string;
  /** Only these devices of the user; empty is all. */
  readonly keys: readonly string[];
  readonly operation: number;
}

export interface StreamEntry extends About {
  readonly position: Position;
  readonly operation: number;
  readonly body: Uint8Array;
  /** Only these devices of the user; empty is all. */
  readonly keys: readonly string[];
}

/** A durable room that a connection enters. */
export interface RoomStart extends StartAsk {
  readonly room: RoomId;
}

/** Where a connection begins in the stream of a durable room. */
export interface RoomOpened {
  readonly start: StreamStart;
  /** How far the user has read it; absent when unknown. */
  readonly read?: ReadPosition;
}

/** Who asks. */
export interface Asker {
  readonly mid: UserId;
  readonly key: ConnectionKey;
}

/** What a client sent for the business. */
export interface UpstreamAsk {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  readonly roomId: string;
  readonly frame: Frame;
}

export interface LinkCallOptions {
  /** Default 3,000. */
  readonly deadlineMs?: number;
}

/** Users of one call. */
export const MAX_PRESENCES = 1_000;

/** Reads of one call. */
export const MAX_READS = 256;

/**
 * What comet asks logic. Every method rejects with a HalleyError: the one that logic threw, or a retryable one when no
 * logic could be reached in time.
 */
export interface LogicLink {
  /** Verifies a token and writes the connection's route. */
  connect(ask: ConnectAsk, options?: LinkCallOptions): Promise<Connected>;
  /**
   * Removes a route where it is still this owner's; with a cursor, where the device goes on when it comes back. `end` tells how
   * the connection ended, once. Those of one moment share a call, which fails for all of them, but for one that goes `alone`.
   */
  disconnect(session: SessionRef, cursor?: StreamCursor, end?: SessionEnd, alone?: boolean): Promise<void>;
  /** Reads another token for a connection that is open. */
  verifyToken(asker: Asker, token: Uint8Array): Promise<Grants>;
  /** Resolves when it is written that this comet has members in the room; answers whether its messages are kept. */
  enterRoom(room: RoomId): Promise<{ readonly durable: boolean }>;
  /** Where a connection begins in the streams of durable rooms, in their order. This comet has entered them before. */
  openRooms(asker: Asker, rooms: readonly RoomStart[]): Promise<readonly RoomOpened[]>;
  leaveRoom(room: RoomId): Promise<void>;
  renew(ask: RenewAsk): Promise<RenewAnswer>;
  /** Pages of streams, in the order of the reads, of which there are at most {@link MAX_READS}. */
  read(reads: readonly StreamRead[]): Promise<readonly StreamPage[]>;
  /** Resolves when the message is durable. */
  receive(ask: UpstreamAsk): Promise<void>;
  /**
   * The body of the answer to a request of version 2: operation and body are as the client sent them. `notGranted`: its token
   * does not let it send this, and the business is to be asked.
   */
  ask(asker: Asker, operation: number, body: Uint8Array, notGranted?: boolean): Promise<Uint8Array>;
  /** How users are now, in their order; at most {@link MAX_PRESENCES}. */
  presence(mids: readonly UserId[]): Promise<readonly Presence[]>;
  /** Resolves when the ledger has what went wrong with pushes here. */
  report(reports: readonly ExceptionReport[]): Promise<void>;
  /** Whether there is a logic to call, for readiness. */
  reachable(): boolean;
}
