import { AuthReply } from '@halley/protocol/client/bodies';
import { Operation } from '@halley/protocol/operation';

import type { Connected } from '../../logic-link.js';
import type { Session } from '../session.js';
import type { Identity } from '../identity.js';
import { reply } from './reply.js';
import type { Version2 } from './version2.js';

/** A push is no larger than a message of gRPC that could bring it, in bytes. */
const MAX_SERVER_BODY_BYTES = 16 * 1024 * 1024;

/** op 8: the connection is open, with version 2. From now on its client may send the long frame. */
export function replyVersion2(
  session: Session,
  v2: Version2,
  seq: number,
  identity: Identity,
  { start, read }: Connected,
): void {
  const { limits, maxBodyBytes, clock } = session.deps;
  const { mid, key, heartbeatMs, tokenExpiresAtMs } = identity;
  session.transport.acceptVersion2();
  reply(session, Operation.AuthReply, seq, AuthReply, {
    mid,
    key,
    // It lives twice as long without one.
    heartbeatMs: Math.max(1, Math.floor(heartbeatMs / 2)),
    tokenExpiresAtMs,
    inbox: start,
    read,
    maxClientBodyBytes: maxBodyBytes,
    maxServerBodyBytes: MAX_SERVER_BODY_BYTES,
    windowEntries: limits.windowEntries,
    windowBytes: limits.windowBytes,
    maxRooms: limits.maxRooms,
    maxWatched: limits.maxWatched,
    deflate: v2.wishes.deflate,
    checksum: v2.wishes.checksum,
    nowMs: clock.now(),
    room: v2.homeRoom?.id ?? '',
  });
}
