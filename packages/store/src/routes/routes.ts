import type { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeId, NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import type { Service } from '@halley/service/lifecycle';

/**
 * Orders the owners of one route: store time, incarnation, counter, as text that compares by `<`
 * (`{time µs, 16 digits}-{incarnation}-{counter, 10 digits}`).
 */
export type OwnerSequence = string;

/** Where one connection of a user is. */
export interface Route {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  readonly at: NodeRef;
  readonly owner: OwnerSequence;
  readonly connectedAtMs: number;
}

export interface Claim {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  readonly at: NodeRef;
  /** Counts the connections of this incarnation, from 1; 0 where their order is not known: the claim served last wins. */
  readonly counter: number;
}

export interface Claimed {
  readonly owner: OwnerSequence;
  /** The connection that had the route until now, to be closed; absent when there was none alive. */
  readonly displaced?: Route;
}

/** What became of one of several claims: the error is what the claim by itself throws. */
export type ClaimOutcome = Claimed | HalleyError;

export interface SessionLease {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  readonly owner: OwnerSequence;
}

export interface Renewal {
  readonly at: NodeRef;
  readonly sessions: readonly SessionLease[];
  readonly rooms: readonly RoomId[];
}

export interface Renewed {
  /** Changes when the store was emptied or replaced: everything must then be renewed at once. */
  readonly generation: string;
  /** Sessions whose route belongs to a newer owner. */
  readonly superseded: readonly SessionLease[];
}

export interface RouteQuery {
  readonly users?: readonly UserId[];
  readonly keys?: readonly ConnectionKey[];
  readonly rooms?: readonly RoomId[];
}

/** What a query found; who is not there is absent. */
export interface RouteAnswer {
  readonly users: ReadonlyMap<UserId, readonly Route[]>;
  readonly keys: ReadonlyMap<ConnectionKey, Route>;
  readonly rooms: ReadonlyMap<RoomId, readonly NodeRef[]>;
}

/**
 * The route store: user and key → node, room → nodes, each with a lease; and online figures by node.
 *
 * A route changes only by compare-and-set on its owner: an older owner changes nothing. Leases run on the store's
 * clock; a route whose lease has run out is not answered. All of a user's routes live in the shard of `u/{mid}`, a
 * room's in that of `r/{room}`. Anonymous connections (mid 0) are found by key only. A directory key → mid outlives the route by `directoryTtlMs`.
 * Every method throws HalleyError `store_unavailable` when the store cannot be reached in time; nothing is queued or
 * sent again behind the caller's back.
 */
export interface Routes extends Service {
  /**
   * Writes a route, replacing an older owner's. `key_in_use` when the key has a live route of another user. A claim that
   * comes late, behind one of a later connection of the same comet, changes nothing: the owner answered is the older. One that
   * comes again, as from a logic that hung while another one was asked, changes nothing either: the owner is the same.
   */
  claim(claim: Claim): Promise<Claimed>;
  /**
   * Serves claims in as few round trips as it can, each for itself, and answers in their order. Those of one key are served
   * one after another. Never rejects.
   */
  claimMany(claims: readonly Claim[]): Promise<readonly ClaimOutcome[]>;
  /** Removes a route where it still belongs to this owner; answers whether it did. */
  release(session: SessionLease): Promise<boolean>;
  /** Releases several, and answers in their order. */
  releaseMany(sessions: readonly SessionLease[]): Promise<readonly boolean[]>;
  /** Extends leases, and writes again what is missing. */
  renew(renewal: Renewal): Promise<Renewed>;
  enterRoom(room: RoomId, at: NodeRef): Promise<void>;
  leaveRoom(room: RoomId, at: NodeRef): Promise<void>;
  /** One round trip for each shard touched. */
  find(query: RouteQuery): Promise<RouteAnswer>;
  /** The users that keys belong to or belonged to; unknown keys are absent. */
  owners(keys: readonly ConnectionKey[]): Promise<ReadonlyMap<ConnectionKey, UserId>>;
  /** Replaces one node's members by room; they count for `ttlMs`. */
  putOnline(node: NodeId, counts: ReadonlyMap<RoomId, number>, ttlMs: number): Promise<void>;
  /** Removes a node's figures, when it leaves. */
  dropOnline(node: NodeId): Promise<void>;
  /** Members by room over all nodes; rooms without members are absent. */
  online(): Promise<ReadonlyMap<RoomId, number>>;
  /** Whether the store can be reached now, for readiness. */
  healthy(): boolean;
}
