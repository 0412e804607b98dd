import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { Frame } from '@halley/protocol/frame';

import type { Variant } from './delivery/outgoing.js';

/** What a client asked to connect with. */
export interface ConnectAsk {
  /** Counts the connections of this incarnation; orders owners. */
  readonly counter: number;
  readonly token: Uint8Array;
  readonly cookie: string;
  readonly clientIp: string;
  readonly transport: Variant;
}

/** A session's route, as logic wrote it. */
export interface SessionRef {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  /** Owner sequence: the larger one is the newer owner. */
  readonly owner: string;
}

/** What logic answered to a good token. */
export interface Connected extends SessionRef {
  /** Empty is no room. */
  readonly roomId: string;
  readonly accepts: readonly number[];
  /** How long the connection lives without a heartbeat; 0 is not said. */
  readonly heartbeatMs: number;
  /** Unix milliseconds; 0 is never. */
  readonly tokenExpiresAtMs: number;
  readonly roomGrants: readonly string[];
  readonly anyRoom: boolean;
}

/** A slice of what the comet holds. */
export interface RenewAsk {
  readonly sessions: readonly SessionRef[];
  readonly rooms: readonly RoomId[];
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

/**
 * What comet asks logic. Every method rejects with a HalleyError: the one that logic threw, or a retryable one when no
 * logic could be reached in time.
 */
export interface LogicLink {
  /** Verifies a token and writes the connection's route. */
  connect(ask: ConnectAsk, options?: LinkCallOptions): Promise<Connected>;
  /** Removes a route where it is still this owner's. */
  disconnect(session: SessionRef): Promise<void>;
  /** Resolves when it is written that this comet has members in the room. */
  enterRoom(room: RoomId): Promise<void>;
  leaveRoom(room: RoomId): Promise<void>;
  renew(ask: RenewAsk): Promise<RenewAnswer>;
  /** Resolves when the message is durable. */
  receive(ask: UpstreamAsk): Promise<void>;
  /** Whether there is a logic to call, for readiness. */
  reachable(): boolean;
}
