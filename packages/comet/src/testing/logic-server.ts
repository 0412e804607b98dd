import type { SessionServiceHandlers } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import type { ConnectReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectReply';
import type { ConnectRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectRequest';
import type { StreamCursor__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamCursor';
import { serverStream, unary } from '@halley/cluster/grpc/handler';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { ExceptionReport } from '@halley/service/exception-reports';

import type { Variant } from '../delivery/format.js';
import type { StreamCursor } from '../logic-link.js';
import type { FakeLogic } from './fake-logic.js';
import { grantsMessage, readMessage, startAskOf, version2Handlers } from './version2-server.js';

/** The tests' logic, as a gRPC service. */
export function logicHandlers(logic: FakeLogic): SessionServiceHandlers {
  const connect = async (request: ConnectRequest__Output): Promise<ConnectReply> => {
    const connected = await logic.connect({
      counter: Number(request.counter),
      token: request.token,
      cookie: request.cookie,
      clientIp: request.client_ip,
      transport: request.transport as Variant,
      withoutCursor: request.without_cursor,
      ...(request.version2 ? { version2: startAskOf(request.version2) } : {}),
    });
    const { mid, key, owner, roomId, accepts, heartbeatMs, start, read } = connected;
    return {
      ...grantsMessage(connected),
      mid,
      key,
      owner,
      room_id: roomId,
      accepts: [...accepts],
      heartbeat_ms: heartbeatMs,
      ...(start ? { stream: start, keeps_cursor: start.kept, at_end: start.atEnd } : {}),
      ...readMessage(read),
    };
  };
  return {
    ...version2Handlers(logic),
    Connect: unary(connect),
    ConnectMany: serverStream(async ({ connects }, call) => {
      await Promise.all(
        connects.map(async (request, index) => {
          const outcome = await connect(request).then(
            (connected) => ({ connected }),
            (thrown: unknown) => ({ error: errorOf(thrown) }),
          );
          call.write({ outcomes: [{ index, ...outcome }] });
        }),
      );
    }),
    Disconnect: unary(async ({ mid, key, owner, cursor }) => {
      const route = { mid: mid as UserId, key: key as ConnectionKey, owner };
      await logic.disconnect(route, cursor ? cursorOf(cursor) : undefined);
      return { has: true };
    }),
    DisconnectMany: unary(async ({ sessions }) => {
      for (const { mid, key, owner, cursor } of sessions)
        await logic.disconnect(
          { mid: mid as UserId, key: key as ConnectionKey, owner },
          cursor ? cursorOf(cursor) : undefined,
        );
      return { has: sessions.map(() => true) };
    }),
    EnterRoom: unary(async ({ room_id }) => logic.enterRoom(room_id as RoomId)),
    LeaveRoom: unary(async ({ room_id }) => {
      await logic.leaveRoom(room_id as RoomId);
      return {};
    }),
    Renew: unary(async ({ sessions, rooms, streams, online }) => {
      const { generation, cluster, leaseMs, newest, streamsNewest } = await logic.renew({
        sessions: sessions.map(({ mid, key, owner, cursor, wants_newest }) => ({
          mid: mid as UserId,
          key: key as ConnectionKey,
          owner,
          wantsNewest: wants_newest,
          ...(cursor ? { cursor: cursorOf(cursor) } : {}),
        })),
        rooms: rooms as RoomId[],
        streams,
        ...(online ? { online: new Map(Object.entries(online.room_counts)) as Map<RoomId, number> } : {}),
      });
      return {
        generation,
        superseded: logic.superseded.map(({ mid, key, owner }) => ({ mid, key, owner })),
        route_lease_ms: leaseMs,
        newest: [...newest],
        streams_newest: [...streamsNewest],
        ...(cluster ? { cluster: { room_counts: Object.fromEntries(cluster) } } : {}),
      };
    }),
    Read: unary(async ({ reads }) => {
      const pages = await logic.read(
        reads.map(({ stream, epoch, after, max_entries, max_bytes }) => ({
          stream,
          epoch,
          after: Number(after),
          maxEntries: max_entries,
          maxBytes: max_bytes,
        })),
      );
      return {
        pages: pages.map(({ epoch, entries, through, more, gap }) => ({
          epoch,
          entries: entries.map(
            ({ position, id, operation, body, keys, acceptedAtMs, expireAtMs, sender }) => ({
              position,
              id,
              operation,
              body: Buffer.from(body),
              keys: [...keys],
              accepted_at_ms: acceptedAtMs,
              expire_at_ms: expireAtMs,
              ...(sender
                ? {
                    sender: {
                      mid: sender.mid,
                      key: sender.key,
                      client_id: sender.clientId,
                      to_mid: sender.toMid,
                    },
                  }
                : {}),
            }),
          ),
          through,
          more,
          ...(gap ? { gap: true, gap_after: gap.after, gap_through: gap.through } : {}),
        })),
      };
    }),
    Report: unary(async ({ reports }) => {
      await logic.report(
        reports.map(({ report_id, at_ms, last_at_ms, position, count, ...report }) => ({
          ...report,
          kind: report.kind as ExceptionReport['kind'],
          reportId: report_id,
          count: Number(count),
          position: position === undefined ? undefined : Number(position),
          atMs: Number(at_ms),
          lastAtMs: Number(last_at_ms),
        })),
      );
      return {};
    }),
    Receive: unary(async ({ mid, key, room_id, proto }) => {
      if (!proto) throw new Error('no proto');
      await logic.receive({ mid: mid as UserId, key: key as ConnectionKey, roomId: room_id, frame: proto });
      return { id: 'id' };
    }),
  };
}

function cursorOf({ stream, epoch, position }: StreamCursor__Output): StreamCursor {
  return { stream, epoch, position: Number(position) };
}

function errorOf(thrown: unknown) {
  const { code, message, retryAfterMs = 0 } = HalleyError.from(thrown);
  return { code, message, retry_after_ms: retryAfterMs };
}
