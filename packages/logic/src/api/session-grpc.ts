import { remainingMs, unary } from '@halley/cluster/grpc/handler';
import type { SessionServiceHandlers } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';

import { invalid } from '../push/target.js';
import { readComet } from '../session/comet-ref.js';
import type { Connector } from '../session/connect.js';
import type { Online } from '../session/online.js';
import { renew } from '../session/renew.js';
import type { UpstreamWriter } from '../upstream/receive.js';

export interface SessionGrpcDeps {
  readonly connector: Connector;
  readonly routes: Routes;
  readonly online: Online;
  readonly upstream: UpstreamWriter;
  readonly heartbeatMs: number;
  readonly heartbeatMax: number;
  /** How long a route outlives its last renewal. */
  readonly routeLeaseMs: number;
}

/** halley.delivery.v1.SessionService: what comet calls for its connections. */
export function sessionGrpc(deps: SessionGrpcDeps): SessionServiceHandlers {
  const { connector, routes, online, upstream, routeLeaseMs } = deps;
  return {
    Connect: unary(async ({ comet, counter, token }, call) => {
      const connected = await connector.connect({
        token,
        at: readComet(comet),
        counter: Number(counter),
        abandoned: () => call.cancelled || remainingMs(call) === 0,
      });
      const { rooms, ...verified } = connected.token;
      return {
        mid: verified.mid,
        key: connected.key,
        room_id: verified.roomId,
        accepts: [...verified.accepts],
        owner: connected.owner,
        platform: verified.platform,
        heartbeat_ms: deps.heartbeatMs * deps.heartbeatMax,
        token_expires_at_ms: verified.expiresAtMs,
        room_grants: [...rooms.patterns],
        any_room: rooms.any,
      };
    }),
    Disconnect: unary(async ({ comet, mid, key, owner }) => {
      readComet(comet);
      return { has: await routes.release({ mid: mid as UserId, key: key as ConnectionKey, owner }) };
    }),
    EnterRoom: unary(async ({ comet, room_id }) => {
      await routes.enterRoom(readRoom(room_id), readComet(comet));
      return {};
    }),
    LeaveRoom: unary(async ({ comet, room_id }) => {
      await routes.leaveRoom(readRoom(room_id), readComet(comet));
      return {};
    }),
    Renew: unary((request) => renew(request, { routes, online, routeLeaseMs })),
    Receive: unary(async ({ comet, mid, key, room_id, proto, id }) => {
      const { node } = readComet(comet);
      return { id: await upstream.receive({ mid, key, server: node, roomId: room_id, proto, id }) };
    }),
  };
}

function readRoom(room: string): RoomId {
  if (room === '') throw invalid('room_id', 'is empty');
  return room as RoomId;
}
