import type { RoomId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';

import type { Grants } from '../logic-link.js';
import type { RoomGrants } from './room-grants.js';

/** Whether a token names this room. */
export type MayUse = (room: RoomId) => boolean;

/** What a token lets its connection do, and until when. */
export interface Rights {
  /** Monotonic milliseconds; Infinity is never. */
  readonly tokenDeadlineMs: number;
  /** Unix milliseconds; 0 is never. */
  readonly tokenExpiresAtMs: number;
  readonly mayEnter: MayUse;
  readonly mayPublish: MayUse;
  readonly maySendToUsers: boolean;
  /** The business decides about what it may not send by itself. */
  readonly asksToSend: boolean;
}

/** The rights that logic read in a token. */
export function rightsOf(
  grants: Grants,
  { clock, roomGrants }: { readonly clock: Clock; readonly roomGrants: RoomGrants },
): Rights {
  const { tokenExpiresAtMs, publishAny, publishGrants, sendToUsers, asksToSend = false } = grants;
  return {
    tokenDeadlineMs:
      tokenExpiresAtMs > 0
        ? clock.monotonicMs() + (tokenExpiresAtMs - clock.now())
        : Number.POSITIVE_INFINITY,
    tokenExpiresAtMs,
    mayEnter: roomGrants.of(grants),
    mayPublish: roomGrants.of({ anyRoom: publishAny, roomGrants: publishGrants }),
    maySendToUsers: sendToUsers,
    asksToSend,
  };
}
