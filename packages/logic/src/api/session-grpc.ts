import type { ConnectRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectRequest';
import { remainingMs, serverStream, traceOf, unary } from '@halley/cluster/grpc/handler';
import type { SessionServiceHandlers } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Ledger } from '@halley/store/ledger/ledger';
import type { Routes } from '@halley/store/routes/routes';

import type { TokenVerifier } from '../auth/verifier.js';
import type { ClientAsks } from '../client/ask.js';
import { presenceOf } from '../client/presence.js';
import type { ReadMarks } from '../client/read-marks.js';
import { verifyToken } from '../client/verify-token.js';
import { rowsOf } from '../ledger/reports.js';
import type { ClientEvents } from '../hooks/client-events.js';
import type { LogicMetrics } from '../metrics.js';
import { invalid } from '../push/target.js';
import { readComet } from '../session/comet-ref.js';
import type { Connector } from '../session/connect.js';
import type { Online } from '../session/online.js';
import { disconnectSessions } from '../session/goodbye.js';
import { renew } from '../session/renew.js';
import type { Cursors } from '../streams/cursor.js';
import type { StreamReader } from '../streams/read.js';
import type { RoomStreams } from '../streams/rooms.js';
import type { UpstreamWriter } from '../upstream/receive.js';
import { connectMany } from './connect-many.js';
import { grantsOf, pageOf, readOf, readsOf, startOf, wishOf } from './session-messages.js';

export interface SessionGrpcDeps {
  readonly connector: Connector;
  readonly verifier: TokenVerifier;
  readonly routes: Routes;
  readonly online: Online;
  readonly upstream: UpstreamWriter;
  readonly cursors: Cursors;
  readonly reader: StreamReader;
  readonly rooms: RoomStreams;
  readonly asks: ClientAsks;
  readonly marks: ReadMarks;
  readonly ledger: Pick<Ledger, 'write'>;
  readonly clock: Clock;
  readonly metrics: LogicMetrics;
  readonly events: ClientEvents;
  readonly log: Logger;
  /** Whether the business is asked about what a token does not let a client send. */
  readonly asksToSend: boolean;
  readonly heartbeatMs: number;
  readonly heartbeatMax: number;
  /** How long a route outlives its last renewal. */
  readonly routeLeaseMs: number;
}

/** Who calls, and until when it waits. */
interface Caller {
  readonly cancelled: boolean;
  getDeadline(): Date | number;
}

/** halley.delivery.v1.SessionService: what comet calls for its connections. */
export function sessionGrpc(deps: SessionGrpcDeps): SessionServiceHandlers {
  const {
    connector,
    routes,
    online,
    upstream,
    cursors,
    reader,
    rooms,
    marks,
    events,
    routeLeaseMs,
    asksToSend,
  } = deps;
  const connect = async (
    { comet, counter, token, transport, without_cursor: withoutCursor, version2 }: ConnectRequest__Output,
    call: Caller,
    everyone: Awaited<ReturnType<RoomStreams['everyone']>>,
  ) => {
    const connected = await connector.connect({
      token,
      at: readComet(comet),
      counter: Number(counter),
      withoutCursor,
      transport,
      ...(version2 && { version2: wishOf(version2) }),
      abandoned: () => call.cancelled || remainingMs(call) === 0,
    });
    const { token: verified, start } = connected;
    const read = version2 && start ? await marks.soon(verified.mid, [start.stream]) : undefined;
    return {
      mid: verified.mid,
      key: connected.key,
      room_id: verified.roomId,
      accepts: [...verified.accepts],
      owner: connected.owner,
      platform: verified.platform,
      heartbeat_ms: deps.heartbeatMs * deps.heartbeatMax,
      ...grantsOf(verified),
      asks_to_send: asksToSend,
      ...startOf(start),
      ...readOf(start && read?.get(start.stream)),
      ...everyone,
    };
  };
  return {
    // Everyone's stream first, so that no route is left when it fails.
    Connect: unary(async (request, call) => connect(request, call, await rooms.everyone())),
    ConnectMany: serverStream(async (_request, call) => {
      const everyone = await rooms.everyone();
      await connectMany(call, (request) => connect(request, call, everyone), deps.log);
    }),
    Disconnect: unary(async ({ comet, ...session }) => {
      const [has = false] = await disconnectSessions(readComet(comet).node, [session], deps);
      return { has };
    }),
    DisconnectMany: unary(async ({ comet, sessions }) => ({
      has: [...(await disconnectSessions(readComet(comet).node, sessions, deps))],
    })),
    EnterRoom: unary(async ({ comet, room_id }) => ({
      durable: await rooms.enter(readRoom(room_id), readComet(comet)),
    })),
    VerifyToken: unary(async ({ token, mid, key }) => ({
      ...grantsOf(await verifyToken(token, { mid: mid as UserId, key: key as ConnectionKey }, deps)),
      asks_to_send: asksToSend,
    })),
    OpenRooms: unary(async ({ comet, mid, rooms: starts }) => {
      readComet(comet);
      const { rooms: opened = [] } = await rooms.open(starts);
      const streams = opened.flatMap(({ cursor }) => (cursor?.stream ? [cursor.stream] : []));
      const read = await marks.soon(mid as UserId, streams);
      return {
        rooms: opened.map((room) => ({ ...room, ...readOf(read.get(room.cursor?.stream ?? '')) })),
      };
    }),
    Ask: unary(async ({ comet, mid, key, operation, body, not_granted: notGranted }, call) => {
      const asker = {
        at: readComet(comet),
        mid: mid as UserId,
        key: key as ConnectionKey,
        deadlineMs: deps.clock.monotonicMs() + remainingMs(call),
        traceparent: traceOf(call),
        notGranted,
      };
      return { body: await deps.asks.answer(operation, body, asker) };
    }),
    Presence: unary(async ({ mids }) => ({ users: await presenceOf(mids, routes) })),
    LeaveRoom: unary(async ({ comet, room_id }) => {
      await routes.leaveRoom(readRoom(room_id), readComet(comet));
      return {};
    }),
    Renew: unary((request) => renew(request, { routes, online, cursors, events, routeLeaseMs })),
    Read: unary(async ({ reads }) => ({ pages: (await reader.read(readsOf(reads))).map(pageOf) })),
    Report: unary(async ({ comet, reports }) => {
      await deps.ledger.write(rowsOf(reports, readComet(comet).node));
      return {};
    }),
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
