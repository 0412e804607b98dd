import type { SessionServiceHandlers } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import { unary } from '@halley/cluster/grpc/handler';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';

import type { FakeLogic } from './fake-logic.js';

/** The tests' logic, as a gRPC service. */
export function logicHandlers(logic: FakeLogic): SessionServiceHandlers {
  return {
    Connect: unary(async (request) => {
      const { mid, key, owner, roomId, accepts, heartbeatMs, tokenExpiresAtMs, roomGrants, anyRoom } =
        await logic.connect({
          counter: Number(request.counter),
          token: request.token,
          cookie: request.cookie,
          clientIp: request.client_ip,
          transport: request.transport === 'tcp' ? 'tcp' : 'websocket',
        });
      return {
        mid,
        key,
        owner,
        room_id: roomId,
        accepts: [...accepts],
        heartbeat_ms: heartbeatMs,
        token_expires_at_ms: tokenExpiresAtMs,
        room_grants: [...roomGrants],
        any_room: anyRoom,
      };
    }),
    Disconnect: unary(async ({ mid, key, owner }) => {
      await logic.disconnect({ mid: mid as UserId, key: key as ConnectionKey, owner });
      return { has: true };
    }),
    EnterRoom: unary(async ({ room_id }) => {
      await logic.enterRoom(room_id as RoomId);
      return {};
    }),
    LeaveRoom: unary(async ({ room_id }) => {
      await logic.leaveRoom(room_id as RoomId);
      return {};
    }),
    Renew: unary(async ({ sessions, rooms, online }) => {
      const { generation, cluster, leaseMs } = await logic.renew({
        sessions: sessions.map(({ mid, key, owner }) => ({
          mid: mid as UserId,
          key: key as ConnectionKey,
          owner,
        })),
        rooms: rooms as RoomId[],
        ...(online ? { online: new Map(Object.entries(online.room_counts)) as Map<RoomId, number> } : {}),
      });
      return {
        generation,
        superseded: logic.superseded.map(({ mid, key, owner }) => ({ mid, key, owner })),
        route_lease_ms: leaseMs,
        ...(cluster ? { cluster: { room_counts: Object.fromEntries(cluster) } } : {}),
      };
    }),
    Receive: unary(async ({ mid, key, room_id, proto }) => {
      if (!proto) throw new Error('no proto');
      await logic.receive({ mid: mid as UserId, key: key as ConnectionKey, roomId: room_id, frame: proto });
      return { id: 'id' };
    }),
  };
}
