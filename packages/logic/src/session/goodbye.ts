import type { DisconnectSessionRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/DisconnectSessionRequest';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import type { Routes } from '@halley/store/routes/routes';

import type { ClientEvents } from '../hooks/client-events.js';
import { endOf } from '../api/session-messages.js';
import { invalid } from '../push/target.js';
import type { Cursors } from '../streams/cursor.js';
import { cursorsOf, tellDelivered } from './renew.js';

/** Sessions of one call. */
const MAX_SESSIONS = 1_000;

export interface GoodbyeDeps {
  readonly routes: Pick<Routes, 'releaseMany'>;
  readonly cursors: Pick<Cursors, 'save'>;
  readonly events: ClientEvents;
}

/** A connection that is gone, as its comet tells it. */
export type GoneSession = Omit<DisconnectSessionRequest__Output, 'comet'>;

/**
 * Removes the routes of connections that are gone from a comet, where they are still theirs, and saves where their devices go
 * on; answers which routes it removed. May be repeated. Throws `store_unavailable`, or `invalid_argument` for too many.
 */
export async function disconnectSessions(
  node: NodeId,
  sessions: readonly GoneSession[],
  { routes, cursors, events }: GoodbyeDeps,
): Promise<readonly boolean[]> {
  if (sessions.length > MAX_SESSIONS) throw invalid('sessions', `more than ${MAX_SESSIONS}`);
  const gone = sessions.map(({ mid, key, owner }) => ({
    mid: mid as UserId,
    key: key as ConnectionKey,
    owner,
  }));
  const [released] = await Promise.all([
    routes.releaseMany(gone),
    cursors.save(sessions.flatMap((session) => cursorsOf(session))),
  ]);
  for (const [index, session] of sessions.entries()) {
    tellDelivered(session, events);
    if (session.end) events.disconnected(gone[index]!, node, endOf(session.end));
  }
  return released;
}
