import type { ReadPosition as ReadPositionMessage } from '@halley/cluster/grpc/gen/halley/client/v1/ReadPosition';
import type { SessionServiceHandlers } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import type { RoomStart__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/RoomStart';
import type { VerifyTokenReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/VerifyTokenReply';
import type { Version2__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/Version2';
import { unary } from '@halley/cluster/grpc/handler';
import { type ReadPosition, Start } from '@halley/protocol/client/bodies';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';

import type { Asker, Grants, StartAsk } from '../logic-link.js';
import type { FakeLogic } from './fake-logic.js';

const STARTS: Readonly<Record<string, number>> = { START_OLDEST: Start.Oldest, START_NEWEST: Start.Newest };

/** What only version 2 asks of the tests' logic, over gRPC. */
export function version2Handlers(
  logic: FakeLogic,
): Pick<SessionServiceHandlers, 'VerifyToken' | 'OpenRooms' | 'Ask' | 'Presence'> {
  return {
    VerifyToken: unary(async (request) =>
      grantsMessage(await logic.verifyToken(askerOf(request), request.token)),
    ),
    OpenRooms: unary(async (request) => {
      const opened = await logic.openRooms(askerOf(request), request.rooms.map(roomStartOf));
      return {
        rooms: opened.map(({ start, read }) => ({
          cursor: start,
          at_end: start.atEnd,
          ...readMessage(read),
        })),
      };
    }),
    Ask: unary(async (request) => ({
      body: Buffer.from(await logic.ask(askerOf(request), request.operation, request.body)),
    })),
    Presence: unary(async ({ mids }) => {
      const users = await logic.presence(mids as UserId[]);
      return {
        users: users.map(({ mid, online, platforms, lastSeenMs }) => ({
          mid,
          online,
          platforms: [...platforms],
          last_seen_ms: lastSeenMs,
        })),
      };
    }),
  };
}

/** Where a client asked to go on. */
export function startAskOf({ cursor, start }: Version2__Output | RoomStart__Output): StartAsk {
  return {
    cursor: cursor ? { epoch: cursor.epoch, position: Number(cursor.position) } : undefined,
    start: STARTS[start] ?? Start.Unspecified,
  };
}

/** What a token allows, as logic's messages say it. */
export function grantsMessage(grants: Grants): VerifyTokenReply {
  return {
    token_expires_at_ms: grants.tokenExpiresAtMs,
    room_grants: [...grants.roomGrants],
    any_room: grants.anyRoom,
    publish_grants: [...grants.publishGrants],
    publish_any: grants.publishAny,
    send_to_users: grants.sendToUsers,
  };
}

/** How far a stream was read, as logic's messages say it. */
export function readMessage(read: ReadPosition | undefined): { read?: ReadPositionMessage } {
  if (!read) return {};
  const { stream, epoch, position, unread, mid, atMs } = read;
  const told = { stream, epoch, position, mid, at_ms: atMs };
  return { read: unread === undefined ? told : { ...told, unread } };
}

function roomStartOf(start: RoomStart__Output): StartAsk & { room: RoomId } {
  return { ...startAskOf(start), room: start.room_id as RoomId };
}

function askerOf({ mid, key }: { readonly mid: string; readonly key: string }): Asker {
  return { mid: mid as UserId, key: key as ConnectionKey };
}
