/** Branded ids, so that one kind is never passed for another. All are strings on every wire but the frame's. */
declare const brand: unique symbol;
type Brand<Name extends string> = string & { readonly [brand]: Name };

/** A user: goim's `mid`, a signed 64-bit integer as decimal text, so that it is exact everywhere. `0` is anonymous. */
export type UserId = Brand<'UserId'>;
/** A connection's key, given by the client or generated; unique within one user. */
export type ConnectionKey = Brand<'ConnectionKey'>;
/** A room, `{type}://{room}`; any text is a valid id. */
export type RoomId = Brand<'RoomId'>;
/** A node of a tier, `host:port`. Stays the same over restarts; the incarnation does not. */
export type NodeId = Brand<'NodeId'>;
/** A push's id: the caller's, or a UUID version 7. */
export type MessageId = Brand<'MessageId'>;

/** One start of one node: calls and routes that mean another incarnation are refused. */
export interface NodeRef {
  readonly node: NodeId;
  readonly incarnation: string;
}
