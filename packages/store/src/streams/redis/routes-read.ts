import type { NodeRef, RoomId, UserId } from '@halley/protocol/ids';

import { ANONYMOUS, hashName, liveNodes, liveRoutes } from '../../routes/redis/hashes.js';
import type { Route, RouteAnswer } from '../../routes/routes.js';
import type { Followed } from '../streams.js';
import { packNames } from './append-arguments.js';

/** Of an append that no routes are read with. */
export const NO_HASHES = packNames([]);

/** The hashes of routes that append.lua reads. */
export function packHashes({ users, rooms }: Followed): Buffer {
  const names: string[] = [];
  for (const mid of users) names.push(hashName.user(mid));
  for (const room of rooms) names.push(hashName.room(room));
  return packNames(names);
}

/** What those hashes hold, in the order in which they were asked for, at `nowMs`. */
export function routesIn(
  { users, rooms }: Followed,
  hashes: readonly (readonly string[])[],
  nowMs: number,
): RouteAnswer {
  const ofUsers = new Map<UserId, readonly Route[]>();
  const ofRooms = new Map<RoomId, readonly NodeRef[]>();
  let at = 0;
  for (const mid of users) {
    const fields = hashes[at++];
    if (!fields || fields.length === 0 || mid === ANONYMOUS) continue;
    const routes = liveRoutes(mid, fields, nowMs);
    if (routes.length > 0) ofUsers.set(mid, routes);
  }
  for (const room of rooms) {
    const fields = hashes[at++];
    if (!fields || fields.length === 0) continue;
    const nodes = liveNodes(fields, nowMs);
    if (nodes.length > 0) ofRooms.set(room, nodes);
  }
  return { users: ofUsers, keys: new Map(), rooms: ofRooms };
}
