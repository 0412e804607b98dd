import type { AddressKind } from '@halley/cluster/registry/registry';

import { addressKindOf } from '../../move-targets.js';
import type { Session } from '../session.js';

/** Nodes that one client is told. */
const MAX_NODES = 3;
/** Over this part of the time that is left clients are spread: the last ones need some of it to connect. */
const SPREAD_SHARE = 3 / 4;

/**
 * Asks the clients with version 2 to connect elsewhere, each after a time of its own, and to begin with another node, and
 * answers them. They are to be closed in `closesInMs`.
 */
export function moveAll(
  sessions: readonly Session[],
  closesInMs: number,
  elsewhere: (kind: AddressKind) => readonly string[] = () => [],
): ReadonlySet<Session> {
  const moved = sessions.filter(({ v2, state }) => v2 !== undefined && state.name === 'online');
  const nodesOf = new Map<AddressKind, readonly string[]>();
  for (const [index, session] of moved.entries()) {
    const kind = addressKindOf(session.transport);
    const nodes = nodesOf.get(kind) ?? elsewhere(kind);
    nodesOf.set(kind, nodes);
    const first = nodes.length > 0 ? index % nodes.length : 0;
    const own = [...nodes.slice(first), ...nodes.slice(0, first)].slice(0, MAX_NODES);
    const delayMs = Math.floor((closesInMs * SPREAD_SHARE * index) / moved.length);
    session.v2?.move(own, delayMs, closesInMs);
  }
  return new Set(moved);
}
