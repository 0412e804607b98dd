import type { Presence__Output } from '@halley/cluster/grpc/gen/halley/client/v1/Presence';
import type { ReadPosition__Output } from '@halley/cluster/grpc/gen/halley/client/v1/ReadPosition';
import type { ConnectReply__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectReply';
import type { RoomOpened__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/RoomOpened';
import type { StreamCursor__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamCursor';
import type { StreamPage__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamPage';
import type { VerifyTokenReply__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/VerifyTokenReply';
import type { Version2 } from '@halley/cluster/grpc/gen/halley/delivery/v1/Version2';
import type { Presence, ReadPosition } from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';

import type {
  Connected,
  Grants,
  RoomOpened,
  StartAsk,
  StreamCursor,
  StreamPage,
  StreamStart,
} from '../logic-link.js';
import { senderOf } from './sender.js';

// What logic's messages say, as comet's port has it.

/** A good token's connection. */
export function connectedOf(reply: ConnectReply__Output): Connected {
  // Spreading several objects into one would cost more than all else of a login here.
  const connected: { -readonly [Field in keyof Connected]: Connected[Field] } = {
    tokenExpiresAtMs: Number(reply.token_expires_at_ms),
    roomGrants: reply.room_grants,
    anyRoom: reply.any_room,
    publishGrants: reply.publish_grants,
    publishAny: reply.publish_any,
    sendToUsers: reply.send_to_users,
    asksToSend: reply.asks_to_send,
    mid: reply.mid as UserId,
    key: reply.key as ConnectionKey,
    owner: reply.owner,
    roomId: reply.room_id,
    accepts: reply.accepts,
    heartbeatMs: Number(reply.heartbeat_ms),
  };
  if (reply.stream) connected.start = startOf(reply.stream, reply.at_end, reply.keeps_cursor);
  if (reply.read) connected.read = readPositionOf(reply.read);
  if (reply.everyone) connected.everyone = cursorOf(reply.everyone);
  return connected;
}

/** What a token allows. */
export function grantsOf(reply: VerifyTokenReply__Output): Grants {
  return {
    tokenExpiresAtMs: Number(reply.token_expires_at_ms),
    roomGrants: reply.room_grants,
    anyRoom: reply.any_room,
    publishGrants: reply.publish_grants,
    publishAny: reply.publish_any,
    sendToUsers: reply.send_to_users,
    asksToSend: reply.asks_to_send,
  };
}

/** Where a client wants to go on; whose stream it is, logic knows. */
export function startAskOf({ cursor, start }: StartAsk, stream = ''): Version2 {
  return { ...(cursor ? { cursor: { stream, ...cursor } } : {}), start: start as 0 | 1 | 2 };
}

/** Where a connection begins in the stream of a room. Throws when logic does not say. */
export function roomOpenedOf({ cursor, at_end, read }: RoomOpened__Output): RoomOpened {
  if (!cursor) throw new HalleyError('internal', 'logic opened a room without a cursor');
  return { start: startOf(cursor, at_end, false), ...(read ? { read: readPositionOf(read) } : {}) };
}

function startOf(cursor: StreamCursor__Output, atEnd: boolean, kept: boolean): StreamStart {
  const { stream, epoch, position } = cursor;
  return { stream, epoch, position: Number(position), atEnd, kept };
}

function cursorOf({ stream, epoch, position }: StreamCursor__Output): StreamCursor {
  return { stream, epoch, position: Number(position) };
}

function readPositionOf({ stream, epoch, position, unread, mid, at_ms }: ReadPosition__Output): ReadPosition {
  return { stream, epoch, position: Number(position), unread, mid: mid as UserId, atMs: Number(at_ms) };
}

/** How a user is. */
export function presenceOf({ mid, online, platforms, last_seen_ms }: Presence__Output): Presence {
  return { mid: mid as UserId, online, platforms, lastSeenMs: Number(last_seen_ms) };
}

/** What a stream holds. */
export function pageOf(page: StreamPage__Output): StreamPage {
  return {
    epoch: page.epoch,
    entries: page.entries.map(({ position, id, operation, body, keys, traceparent, ...entry }) => ({
      position: Number(position),
      id,
      operation,
      body,
      keys,
      acceptedAtMs: Number(entry.accepted_at_ms),
      expireAtMs: Number(entry.expire_at_ms),
      traceparent,
      sender: senderOf(entry.sender),
      caller: entry.caller,
    })),
    through: Number(page.through),
    ...(page.left_out.length > 0 && {
      leftOut: page.left_out.map(({ position, ...left }) => ({ ...left, position: Number(position) })),
    }),
    more: page.more,
    ...(page.gap ? { gap: { after: Number(page.gap_after), through: Number(page.gap_through) } } : {}),
  };
}
