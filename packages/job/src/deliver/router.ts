import type { ConnectionKey, NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import type { Route, RouteAnswer, RouteQuery } from '@halley/store/routes/routes';

/** What a push says of where it goes. */
export interface PushTargets {
  readonly users: readonly UserId[];
  readonly keys: readonly ConnectionKey[];
  readonly rooms: readonly RoomId[];
  readonly everyone: boolean;
}

/** The comets that can be delivered to. */
export interface Comets<Comet> {
  find(ref: NodeRef): Comet | undefined;
  everyone(): readonly Comet[];
}

/** What one comet is to do with a push. */
export interface CometTargets<Comet> {
  readonly comet: Comet;
  readonly keys: ConnectionKey[];
  readonly rooms: RoomId[];
  everyone: boolean;
}

/** Where a push goes, and incarnations that routes name and that cannot be delivered to. */
export interface RoutedPush<Comet> {
  readonly to: readonly CometTargets<Comet>[];
  readonly missing: readonly NodeRef[];
}

/** The one query that answers where all of these go; undefined when none needs a route. */
export function queryFor(pushes: Iterable<PushTargets>): RouteQuery | undefined {
  const users = new Set<UserId>();
  const keys = new Set<ConnectionKey>();
  const rooms = new Set<RoomId>();
  for (const push of pushes) {
    for (const mid of push.users) users.add(mid);
    for (const key of push.keys) keys.add(key);
    for (const room of push.rooms) rooms.add(room);
  }
  if (users.size + keys.size + rooms.size === 0) return undefined;
  return { users: [...users], keys: [...keys], rooms: [...rooms] };
}

/** An answer for pushes that need no route. */
export const NO_ROUTES: RouteAnswer = { users: new Map(), keys: new Map(), rooms: new Map() };

/** One entry for each comet that a push goes to, with the connections and rooms there; none is named twice. */
export function routePush<Comet>(
  push: PushTargets,
  answer: RouteAnswer,
  comets: Comets<Comet>,
): RoutedPush<Comet> {
  const to = new Map<Comet, CometTargets<Comet>>();
  const missing: NodeRef[] = [];
  const at = (comet: Comet): CometTargets<Comet> => {
    let targets = to.get(comet);
    if (!targets) to.set(comet, (targets = { comet, keys: [], rooms: [], everyone: false }));
    return targets;
  };
  // Only a push with several targets can reach a connection twice.
  const seen = push.users.length + push.keys.length > 1 ? new Set<ConnectionKey>() : undefined;
  const toRoute = (route: Route): void => {
    if (seen?.has(route.key)) return;
    seen?.add(route.key);
    const comet = comets.find(route.at);
    if (comet === undefined) missing.push(route.at);
    else at(comet).keys.push(route.key);
  };

  for (const mid of push.users) for (const route of answer.users.get(mid) ?? []) toRoute(route);
  for (const key of push.keys) {
    const route = answer.keys.get(key);
    if (route) toRoute(route);
  }
  for (const room of push.rooms.length > 1 ? new Set(push.rooms) : push.rooms) {
    for (const ref of answer.rooms.get(room) ?? []) {
      const comet = comets.find(ref);
      if (comet === undefined) missing.push(ref);
      else at(comet).rooms.push(room);
    }
  }
  if (push.everyone) for (const comet of comets.everyone()) at(comet).everyone = true;
  return { to: [...to.values()], missing };
}
