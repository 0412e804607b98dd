import type { RenewReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/RenewReply';
import type { RenewRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/RenewRequest';
import type { SessionRoute__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionRoute';
import type { StreamCursor__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/StreamCursor';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';
import { streamOf } from '@halley/store/shard';
import { BEFORE_ALL, type Cursor, type Position } from '@halley/store/streams/streams';

import type { ClientEvents } from '../hooks/client-events.js';
import { invalid } from '../push/target.js';
import type { Cursors, SavedCursor } from '../streams/cursor.js';
import { readComet } from './comet-ref.js';
import type { Online } from './online.js';

/** Sessions or rooms of one renewal. */
const MAX_SLICE = 10_000;

/** How far a device has seen a stream. */
export interface StreamCursor extends Cursor {
  readonly stream: string;
}

/** Renews the leases of a slice of a comet's sessions and rooms, and takes its online figures. Throws `store_unavailable`. */
export async function renew(
  request: RenewRequest__Output,
  {
    routes,
    online,
    cursors,
    events,
    routeLeaseMs,
  }: {
    readonly routes: Routes;
    readonly online: Online;
    readonly cursors: Pick<Cursors, 'save' | 'newest'>;
    readonly events?: Pick<ClientEvents, 'delivered'> | undefined;
    /** Told to comet, which renews well before. */
    readonly routeLeaseMs: number;
  },
): Promise<RenewReply> {
  const at = readComet(request.comet);
  if (request.sessions.length > MAX_SLICE) throw invalid('sessions', `more than ${MAX_SLICE}`);
  if (request.rooms.length > MAX_SLICE) throw invalid('rooms', `more than ${MAX_SLICE}`);
  if (request.streams.length > MAX_SLICE) throw invalid('streams', `more than ${MAX_SLICE}`);
  const counts = request.online?.room_counts;
  const { sessions } = request;
  const [{ generation, superseded }] = await Promise.all([
    routes.renew({
      at,
      sessions: sessions.map(({ mid, key, owner }) => ({
        mid: mid as UserId,
        key: key as ConnectionKey,
        owner,
      })),
      rooms: request.rooms as RoomId[],
    }),
    cursors.save(sessions.flatMap(cursorsOf)),
    counts ? online.put(at.node, counts) : undefined,
  ]);
  for (const session of sessions) tellDelivered(session, events);
  // Behind the routes: what is appended from now on finds them, and what was appended before is told here.
  const newest = await newestOf(sessions, request.streams, cursors);
  const reply = { generation, superseded: [...superseded], route_lease_ms: routeLeaseMs, ...newest };
  if (!counts) return reply;
  const totals = await online.totals();
  const cluster = Object.keys(counts).map((room) => [room, totals.get(room as RoomId) ?? 0] as const);
  return { ...reply, cluster: { room_counts: Object.fromEntries(cluster) } };
}

/** The cursor of a session that has one; a device that is there keeps it. */
export function cursorsOf({
  key,
  owner,
  cursor,
  acknowledged,
}: Pick<SessionRoute__Output, 'key' | 'owner' | 'cursor' | 'acknowledged'>): SavedCursor[] {
  return cursor ? [{ ...cursorOf(cursor), key: key as ConnectionKey, owner, acknowledged }] : [];
}

/** Tells what a device has acknowledged, where that is more than was told before. */
export function tellDelivered(
  {
    mid,
    key,
    cursor,
    acknowledged,
    moved,
  }: Pick<SessionRoute__Output, 'mid' | 'key' | 'cursor' | 'acknowledged' | 'moved'>,
  events: Pick<ClientEvents, 'delivered'> | undefined,
): void {
  if (!cursor || !acknowledged || !moved) return;
  events?.delivered({ mid: mid as UserId, key: key as ConnectionKey }, cursorOf(cursor));
}

/** A cursor as comet sent it. */
export function cursorOf({ stream, epoch, position }: StreamCursor__Output): StreamCursor {
  return { stream, epoch, position: Number(position) };
}

/** One for each session that wants it, and one for each stream, in their order. */
async function newestOf(
  sessions: readonly SessionRoute__Output[],
  streams: readonly string[],
  cursors: Pick<Cursors, 'newest'>,
): Promise<{ newest: Position[]; streams_newest: Position[] }> {
  const users = sessions
    .filter(({ wants_newest }) => wants_newest)
    .map(({ mid }) => streamOf.user(mid as UserId));
  const all = new Set([...users, ...streams]);
  if (all.size === 0) return { newest: [], streams_newest: [] };
  const positions = await cursors.newest([...all]);
  const of = (stream: string): Position => positions.get(stream) ?? BEFORE_ALL;
  return { newest: users.map(of), streams_newest: streams.map(of) };
}
