import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, MessageId, RoomId, UserId } from '@halley/protocol/ids';
import type { Target__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Target';
import type { Sender } from '@halley/store/streams/streams';

import type { Durability } from './durability.js';

/** Whom a push is for. */
export type Target =
  | { readonly kind: 'users'; readonly users: readonly UserId[] }
  | { readonly kind: 'keys'; readonly keys: readonly ConnectionKey[] }
  | { readonly kind: 'room'; readonly room: RoomId }
  /** `speed`: messages a second over the whole cluster; 0 is as fast as it goes. */
  | { readonly kind: 'everyone'; readonly speed: number };

/** Pushes that are delivered as one: so long after the first of them, or when there are so many. */
export interface PushGroup {
  readonly key: string;
  readonly windowMs: number;
  readonly maxCount: number;
}

/** A push that was found valid. */
export interface PushMessage {
  readonly id: MessageId;
  /** Whether the caller gave the id, and may have given it before. */
  readonly idGiven?: boolean;
  readonly target: Target;
  readonly operation: number;
  readonly body: Buffer;
  readonly durable: boolean;
  /** Unix milliseconds; 0 is never. */
  readonly expireAtMs: number;
  /** Of a stream's entries with the same one only the newest is shown to who catches up. */
  readonly collapseKey?: string;
  /** For how long after its acceptance it is kept at most; absent is as long as its stream. */
  readonly retentionMs?: number;
  /** It waits while there is a backlog of other pushes. */
  readonly bulk?: boolean;
  /** When to deliver it, Unix milliseconds; absent is at once. */
  readonly deliverAtMs?: number;
  /** It is delivered with others of the group, as one. */
  readonly group?: PushGroup;
  /** The client that sent it; absent when the business did. */
  readonly sender?: Sender;
  /** A frame of version 2 of this operation that the cluster made, for connections with version 2 alone. */
  readonly control?: boolean;
}

/** What a push may be at most. */
export interface PushLimits {
  readonly maxBodyBytes: number;
  /** Users or keys of one push. */
  readonly maxTargets: number;
  /** How far ahead it may be delivered. */
  readonly maxDelayMs: number;
  /** What can be kept, and what is by default. */
  readonly durability: Durability;
}

/** Characters of a room or key: no client can have a longer one, since it came in a frame. */
export const MAX_NAME_LENGTH = 4_096;

/** Whether a key or a user id list is as it must be; also used for presence and disconnect. Throws `invalid_argument`. */
export function readUsers(mids: readonly string[], max: number, path: string): UserId[] {
  checkCount(mids.length, max, path);
  return mids.map((mid, index) => {
    if (mid === '0') throw invalid(`${path}[${index}]`, '0 is anonymous, no user');
    return mid as UserId;
  });
}

/** Connection keys of a request. Throws `invalid_argument`. */
export function readKeys(keys: readonly string[], max: number, path: string): ConnectionKey[] {
  checkCount(keys.length, max, path);
  return keys.map((key, index) => {
    if (key === '') throw invalid(`${path}[${index}]`, 'is empty');
    if (key.length > MAX_NAME_LENGTH) {
      throw invalid(`${path}[${index}]`, `${key.length} characters, more than ${MAX_NAME_LENGTH}`);
    }
    return key as ConnectionKey;
  });
}

/** An `invalid_argument` that names its field. */
export function invalid(path: string, what: string): HalleyError {
  return new HalleyError('invalid_argument', `${path}: ${what}`);
}

/** Whom a push of the API is for. Throws `invalid_argument`. */
export function readTarget(
  target: Target__Output | null,
  limits: Pick<PushLimits, 'maxTargets'>,
  path: string,
): Target {
  switch (target?.target) {
    case 'users': {
      const users = readUsers(target.users?.mids ?? [], limits.maxTargets, `${path}.users.mids`);
      return { kind: 'users', users: [...new Set(users)] };
    }
    case 'keys': {
      const keys = readKeys(target.keys?.keys ?? [], limits.maxTargets, `${path}.keys.keys`);
      return { kind: 'keys', keys: [...new Set(keys)] };
    }
    case 'room': {
      const room = target.room ?? '';
      if (room === '') throw invalid(`${path}.room`, 'is empty');
      if (room.length > MAX_NAME_LENGTH) {
        throw invalid(`${path}.room`, `${room.length} characters, more than ${MAX_NAME_LENGTH}`);
      }
      return { kind: 'room', room: room as RoomId };
    }
    case 'everyone': {
      const speed = target.everyone?.speed ?? 0;
      if (speed < 0) throw invalid(`${path}.everyone.speed`, 'must not be negative');
      return { kind: 'everyone', speed };
    }
    case undefined:
      throw invalid(path, 'exactly one of users, keys, room and everyone is to be set');
  }
}

function checkCount(count: number, max: number, path: string): void {
  if (count === 0) throw invalid(path, 'is empty');
  if (count > max) throw invalid(path, `${count} entries, more than ${max}`);
}
