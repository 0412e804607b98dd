/**
 * Who the connections of a load are: a pattern, so that no 20,000 tokens travel. Connection i, from 0, is the user
 * `firstMid` + i with the key `keyPrefix` + i, in room i modulo `rooms`.
 */
export interface Identity {
  readonly firstMid: number;
  /** 0: in no room. */
  readonly rooms: number;
  /** Rooms are `{roomType}://{index}`. */
  readonly roomType: string;
  /** Operations that the connections accept. */
  readonly accepts: readonly number[];
  /** Keys are this and the connection's index. Empty: no key is given, the server makes a fresh one. */
  readonly keyPrefix: string;
}

/** The user of connection i. */
export function midOf({ firstMid }: Identity, connection: number): number {
  return firstMid + connection;
}

/** The key of connection i, as `load-7`; empty where the server makes one. */
export function keyOf({ keyPrefix }: Identity, connection: number): string {
  return keyPrefix === '' ? '' : `${keyPrefix}${connection}`;
}

/** The index of connection i's room; undefined without rooms. */
export function roomIndexOf({ rooms }: Identity, connection: number): number | undefined {
  return rooms === 0 ? undefined : connection % rooms;
}

/** The id of the room of this index, as `live://3`. */
export function roomIdOf({ roomType }: Identity, room: number): string {
  return `${roomType}://${room}`;
}

/** The body of operation 7 of connection i: goim's JSON, with the fields of version 2 ahead where it is asked for. */
export function tokenOf(identity: Identity, connection: number, version: 1 | 2): string {
  const room = roomIndexOf(identity, connection);
  return JSON.stringify({
    // Behind what is kept already: the past is not part of the load.
    ...(version === 2 ? { ver: 2, start: 'newest' } : {}),
    mid: midOf(identity, connection),
    key: keyOf(identity, connection),
    room_id: room === undefined ? '' : roomIdOf(identity, room),
    platform: 'web',
    accepts: identity.accepts,
  });
}
