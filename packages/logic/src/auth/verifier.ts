import type { UserId } from '@halley/protocol/ids';

/** What a token says, once it is believed. */
export interface VerifiedToken {
  /** `0` is anonymous. */
  readonly mid: UserId;
  /** Empty: a fresh key is to be generated. */
  readonly key: string;
  /** The room to enter at once; empty is none. */
  readonly roomId: string;
  readonly platform: string;
  /** Operations that the connection takes from pushes to keys, users and everyone. */
  readonly accepts: readonly number[];
  /** Unix milliseconds; 0 is never. */
  readonly expiresAtMs: number;
  /** Rooms that may be joined. */
  readonly rooms: RoomGrants;
  /** Rooms that may be sent to, by a connection with version 2. To join a room is not to be heard in it. */
  readonly publish: RoomGrants;
  /** Whether such a connection may send to users. */
  readonly sendToUsers: boolean;
}

/** Patterns of room ids, where `*` stands for any run of characters. `any` grants every room. */
export interface RoomGrants {
  readonly any: boolean;
  readonly patterns: readonly string[];
}

/**
 * Decides whether a token is valid and what it says.
 * Errors: `bad_token`, `token_expired`; `keys_unavailable` when the keys to check it with cannot be had now.
 * No implementation logs a token or puts it into an error.
 */
export interface TokenVerifier {
  verify(token: Uint8Array): Promise<VerifiedToken>;
}
