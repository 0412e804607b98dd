import type { ReadPosition as ReadPositionMessage } from '@halley/cluster/grpc/gen/halley/client/v1/ReadPosition';
import type { StreamPage as StreamPageMessage } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamPage';
import type { SessionEnd__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionEnd';
import type { StreamRead__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamRead';
import type { Version2__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Version2';
import type { ReadPosition } from '@halley/protocol/client/bodies';

import type { VerifiedToken } from '../auth/verifier.js';
import type { ConnectionEnd } from '../hooks/client-events.js';
import { invalid } from '../push/target.js';
import { cursorOf } from '../session/renew.js';
import type { StartWish, StreamStart } from '../streams/cursor.js';
import type { StreamPage, StreamRead } from '../streams/read.js';

/** Streams of one call. */
const MAX_READS = 256;

/** What a token grants, as ConnectReply and VerifyTokenReply have it. */
export function grantsOf({ expiresAtMs, rooms, publish, sendToUsers }: VerifiedToken) {
  return {
    token_expires_at_ms: expiresAtMs,
    room_grants: [...rooms.patterns],
    any_room: rooms.any,
    publish_grants: [...publish.patterns],
    publish_any: publish.any,
    send_to_users: sendToUsers,
  };
}

/** Where a device with version 2 wants to go on. */
export function wishOf({ cursor, start }: Version2__Output): StartWish {
  return {
    ...(cursor && { cursor: { epoch: cursor.epoch, position: cursorOf(cursor).position } }),
    start: start === 'START_OLDEST' ? 'oldest' : start === 'START_NEWEST' ? 'newest' : undefined,
  };
}

/** Where a connection goes on, as ConnectReply has it. */
export function startOf(start: StreamStart | undefined) {
  if (!start) return {};
  const { kept, atEnd, ...stream } = start;
  return { stream, keeps_cursor: kept, at_end: atEnd };
}

/** How a connection ended. */
export function endOf({ code, reason }: SessionEnd__Output): ConnectionEnd {
  return { code, reason };
}

/** How far a user has read, where that is known. */
export function readOf(read: ReadPosition | undefined): { readonly read?: ReadPositionMessage } {
  if (!read) return {};
  const { stream, epoch, position, unread, mid, atMs } = read;
  return { read: { stream, epoch, position, mid, at_ms: atMs, ...(unread !== undefined && { unread }) } };
}

/** Checks what is to be read. Throws `invalid_argument`. */
export function readsOf(reads: readonly StreamRead__Output[]): StreamRead[] {
  if (reads.length > MAX_READS) throw invalid('reads', `more than ${MAX_READS}`);
  return reads.map(({ stream, epoch, after, max_entries, max_bytes }, index) => {
    if (stream === '') throw invalid(`reads[${index}].stream`, 'is empty');
    return { stream, epoch, after: Number(after), maxEntries: max_entries, maxBytes: max_bytes };
  });
}

/** A page as comet gets it. */
export function pageOf({ epoch, entries, through, more, gap, leftOut = [] }: StreamPage): StreamPageMessage {
  return {
    epoch,
    entries: entries.map(({ sender, ...entry }) => ({
      position: entry.position,
      id: entry.id,
      operation: entry.operation,
      body: entry.body,
      keys: [...entry.keys],
      expire_at_ms: entry.expireAtMs,
      traceparent: entry.traceparent,
      accepted_at_ms: entry.acceptedAtMs,
      caller: entry.caller,
      ...(sender && {
        sender: { mid: sender.mid, key: sender.key, client_id: sender.clientId, to_mid: sender.toMid },
      }),
    })),
    through,
    more,
    left_out: leftOut.map(({ keys, ...left }) => ({ ...left, keys: [...keys] })),
    ...(gap ? { gap: true, gap_after: gap.after, gap_through: gap.through } : {}),
  };
}
