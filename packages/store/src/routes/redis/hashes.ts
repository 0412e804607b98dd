import type { ConnectionKey, NodeId, NodeRef, RoomId, UserId } from '@halley/protocol/ids';

import type { Route } from '../routes.js';

/*
 * Routes stand in one hash for each user, key -> owner \n node \n incarnation \n leaseUntilMs \n directoryAtMs, and rooms in
 * one for each, node \n incarnation -> leaseUntilMs. A hash lies in the slot of its stream's shard.
 */

/** Anonymous connections are no one user's: each has a hash of its own, and none is found by user. */
export const ANONYMOUS = '0' as UserId;

/** The key of a hash behind what all keys of its shard begin with: the prefix and `{p}:`. */
export const hashName = {
  user: (mid: UserId): string => `u:${mid}`,
  room: (room: RoomId): string => `r:${room}`,
};

/** A route as it stands in its hash, without its lease; the owner's first 16 digits are the time it connected, in µs. */
export function parseRoute(mid: UserId, key: ConnectionKey, value: string): Route {
  const ownerEnd = value.indexOf('\n');
  const nodeEnd = value.indexOf('\n', ownerEnd + 1);
  const end = value.indexOf('\n', nodeEnd + 1);
  return {
    mid,
    key,
    at: {
      node: value.slice(ownerEnd + 1, nodeEnd) as NodeId,
      incarnation: end < 0 ? value.slice(nodeEnd + 1) : value.slice(nodeEnd + 1, end),
    },
    owner: value.slice(0, ownerEnd),
    connectedAtMs: Math.floor(Number(value.slice(0, 16)) / 1_000),
  };
}

/** The routes of a user's hash, a flat list, whose leases run on at `nowMs`. */
export function liveRoutes(mid: UserId, fields: readonly string[], nowMs: number): Route[] {
  const routes: Route[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const value = fields[i + 1]!;
    if (leaseOf(value) > nowMs) routes.push(parseRoute(mid, fields[i] as ConnectionKey, value));
  }
  return routes;
}

/** The comets of a room's hash, a flat list, whose leases run on at `nowMs`. */
export function liveNodes(fields: readonly string[], nowMs: number): NodeRef[] {
  const nodes: NodeRef[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (Number(fields[i + 1]) <= nowMs) continue;
    const [node = '', incarnation = ''] = fields[i]!.split('\n');
    nodes.push({ node: node as NodeId, incarnation });
  }
  return nodes;
}

/** The lease is the fourth of a route's lines. */
function leaseOf(value: string): number {
  let at = -1;
  for (let line = 0; line < 3; line += 1) {
    at = value.indexOf('\n', at + 1);
    if (at < 0) return 0;
  }
  const end = value.indexOf('\n', at + 1);
  return Number(end < 0 ? value.slice(at + 1) : value.slice(at + 1, end));
}
