import { remainingMs, unary } from '@halley/cluster/grpc/handler';
import type { SessionServiceHandlers } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import type { StreamPage as StreamPageMessage } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamPage';
import type { StreamRead__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamRead';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';

import { invalid } from '../push/target.js';
import { readComet } from '../session/comet-ref.js';
import type { Connector } from '../session/connect.js';
import type { Online } from '../session/online.js';
import { cursorOf, renew } from '../session/renew.js';
import type { Cursors, StreamStart } from '../streams/cursor.js';
import type { StreamPage, StreamRead, StreamReader } from '../streams/read.js';
import type { RoomStreams } from '../streams/rooms.js';
import type { UpstreamWriter } from '../upstream/receive.js';

export interface SessionGrpcDeps {
  readonly connector: Connector;
  readonly routes: Routes;
  readonly online: Online;
  readonly upstream: UpstreamWriter;
  readonly cursors: Cursors;
  readonly reader: StreamReader;
  readonly rooms: RoomStreams;
  readonly heartbeatMs: number;
  readonly heartbeatMax: number;
  /** How long a route outlives its last renewal. */
  readonly routeLeaseMs: number;
}

/** Streams of one call. */
const MAX_READS = 256;

/** halley.delivery.v1.SessionService: what comet calls for its connections. */
export function sessionGrpc(deps: SessionGrpcDeps): SessionServiceHandlers {
  const { connector, routes, online, upstream, cursors, reader, rooms, routeLeaseMs } = deps;
  return {
    Connect: unary(async ({ comet, counter, token, without_cursor: withoutCursor }, call) => {
      // First, so that no route is left when it fails.
      const everyone = await rooms.everyone();
      const connected = await connector.connect({
        token,
        at: readComet(comet),
        counter: Number(counter),
        withoutCursor,
        abandoned: () => call.cancelled || remainingMs(call) === 0,
      });
      const { rooms: grants, ...verified } = connected.token;
      return {
        mid: verified.mid,
        key: connected.key,
        room_id: verified.roomId,
        accepts: [...verified.accepts],
        owner: connected.owner,
        platform: verified.platform,
        heartbeat_ms: deps.heartbeatMs * deps.heartbeatMax,
        token_expires_at_ms: verified.expiresAtMs,
        room_grants: [...grants.patterns],
        any_room: grants.any,
        ...startOf(connected.start),
        ...everyone,
      };
    }),
    Disconnect: unary(async ({ comet, mid, key, owner, cursor }) => {
      readComet(comet);
      const route = { mid: mid as UserId, key: key as ConnectionKey, owner };
      const saved = cursor ? cursors.save([{ ...cursorOf(cursor), key: route.key, owner }]) : undefined;
      const [has] = await Promise.all([routes.release(route), saved]);
      return { has };
    }),
    EnterRoom: unary(async ({ comet, room_id }) => ({
      durable: await rooms.enter(readRoom(room_id), readComet(comet)),
    })),
    VerifyToken: unary(async () => {
      throw new HalleyError('unsupported_operation');
    }),
    OpenRooms: unary(async ({ comet, rooms: starts }) => {
      readComet(comet);
      return rooms.open(starts);
    }),
    Ask: unary(async () => {
      throw new HalleyError('unsupported_operation');
    }),
    Presence: unary(async () => {
      throw new HalleyError('unsupported_operation');
    }),
    LeaveRoom: unary(async ({ comet, room_id }) => {
      await routes.leaveRoom(readRoom(room_id), readComet(comet));
      return {};
    }),
    Renew: unary((request) => renew(request, { routes, online, cursors, routeLeaseMs })),
    Read: unary(async ({ reads }) => ({ pages: (await reader.read(readsOf(reads))).map(pageOf) })),
    Receive: unary(async ({ comet, mid, key, room_id, proto, id }) => {
      const { node } = readComet(comet);
      return { id: await upstream.receive({ mid, key, server: node, roomId: room_id, proto, id }) };
    }),
  };
}

function startOf(start: StreamStart | undefined) {
  if (!start) return {};
  const { kept, atEnd, ...stream } = start;
  return { stream, keeps_cursor: kept, at_end: atEnd };
}

function readsOf(reads: readonly StreamRead__Output[]): StreamRead[] {
  if (reads.length > MAX_READS) throw invalid('reads', `more than ${MAX_READS}`);
  return reads.map(({ stream, epoch, after, max_entries, max_bytes }, index) => {
    if (stream === '') throw invalid(`reads[${index}].stream`, 'is empty');
    return { stream, epoch, after: Number(after), maxEntries: max_entries, maxBytes: max_bytes };
  });
}

function pageOf({ epoch, entries, through, more, gap }: StreamPage): StreamPageMessage {
  return {
    epoch,
    entries: entries.map((entry) => ({
      position: entry.position,
      id: entry.id,
      operation: entry.operation,
      body: entry.body,
      keys: [...entry.keys],
      expire_at_ms: entry.expireAtMs,
      traceparent: entry.traceparent,
    })),
    through,
    more,
    ...(gap ? { gap: true, gap_after: gap.after, gap_through: gap.through } : {}),
  };
}

function readRoom(room: string): RoomId {
  if (room === '') throw invalid('room_id', 'is empty');
  return room as RoomId;
}
