import type { RenewReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/RenewReply';
import type { RenewRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/RenewRequest';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';

import { invalid } from '../push/target.js';
import { readComet } from './comet-ref.js';
import type { Online } from './online.js';

/** Sessions or rooms of one renewal. */
const MAX_SLICE = 10_000;

/** Renews the leases of a slice of a comet's sessions and rooms, and takes its online figures. Throws `store_unavailable`. */
export async function renew(
  request: RenewRequest__Output,
  {
    routes,
    online,
    routeLeaseMs,
  }: {
    readonly routes: Routes;
    readonly online: Online;
    /** Told to comet, which renews well before. */
    readonly routeLeaseMs: number;
  },
): Promise<RenewReply> {
  const at = readComet(request.comet);
  if (request.sessions.length > MAX_SLICE) throw invalid('sessions', `more than ${MAX_SLICE}`);
  if (request.rooms.length > MAX_SLICE) throw invalid('rooms', `more than ${MAX_SLICE}`);
  const counts = request.online?.room_counts;
  const [{ generation, superseded }] = await Promise.all([
    routes.renew({
      at,
      sessions: request.sessions.map(({ mid, key, owner }) => ({
        mid: mid as UserId,
        key: key as ConnectionKey,
        owner,
      })),
      rooms: request.rooms as RoomId[],
    }),
    counts ? online.put(at.node, counts) : undefined,
  ]);
  const reply = { generation, superseded: [...superseded], route_lease_ms: routeLeaseMs };
  if (!counts) return reply;
  const totals = await online.totals();
  const cluster = Object.keys(counts).map((room) => [room, totals.get(room as RoomId) ?? 0] as const);
  return { ...reply, cluster: { room_counts: Object.fromEntries(cluster) } };
}
