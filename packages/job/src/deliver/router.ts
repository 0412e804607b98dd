import type { ConnectionKey, NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import type { Route, RouteAnswer, RouteQuery } from '@halley/store/routes/routes';
import { isIn, streamOf, type Shard } from '@halley/store/shard';
import type { Position } from '@halley/store/streams/streams';

/** What a push says of where it goes. */
export interface PushTargets {
  readonly users: readonly UserId[];
  readonly keys: readonly ConnectionKey[];
  readonly rooms: readonly RoomId[];
  readonly everyone: boolean;
}

/** Who follows a stream: the comets of a user's connections, those with members in a room, or all. */
export type Followers =
  | { readonly kind: 'user'; readonly mid: UserId }
  | { readonly kind: 'room'; readonly room: RoomId }
  | { readonly kind: 'everyone' };

/** A stream that a push is an entry of; told to the comets that follow it. */
export interface EntryHint {
  readonly to: Followers;
  readonly stream: string;
  /**
   * No entry of the stream lies strictly between this and the push's position. The position itself where nothing is known:
   * then the stream is read, whatever came along.
   */
  readonly prev: Position;
  /** Only these devices; empty is all. */
  readonly keys: readonly ConnectionKey[];
}

/** A push that is routed: who is sent it as it is, and the streams of which it is told. */
export interface RoutedTargets {
  readonly live: PushTargets;
  readonly hints: readonly EntryHint[];
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
  readonly hints: EntryHint[];
}

/** Where a push goes, and incarnations that routes name and that cannot be delivered to. */
export interface RoutedPush<Comet> {
  readonly to: readonly CometTargets<Comet>[];
  readonly missing: readonly NodeRef[];
}

/** The one query that answers where all of these go; undefined when none needs a route. */
export function queryFor(pushes: Iterable<RoutedTargets>): RouteQuery | undefined {
  const users = new Set<UserId>();
  const keys = new Set<ConnectionKey>();
  const rooms = new Set<RoomId>();
  for (const { live, hints } of pushes) {
    for (const mid of live.users) users.add(mid);
    for (const { to } of hints) {
      if (to.kind === 'user') users.add(to.mid);
      else if (to.kind === 'room') rooms.add(to.room);
    }
    for (const key of live.keys) keys.add(key);
    for (const room of live.rooms) rooms.add(room);
  }
  if (users.size + keys.size + rooms.size === 0) return undefined;
  return { users: [...users], keys: [...keys], rooms: [...rooms] };
}

/** What is left to ask for when the routes of a shard's users and rooms are known; streams of which is told are of it. */
export function restFor(pushes: Iterable<RoutedTargets>, shard: Shard): RouteQuery | undefined {
  const users = new Set<UserId>();
  const keys = new Set<ConnectionKey>();
  const rooms = new Set<RoomId>();
  for (const { live } of pushes) {
    for (const mid of live.users) if (!isIn(streamOf.user(mid), shard)) users.add(mid);
    for (const key of live.keys) keys.add(key);
    for (const room of live.rooms) if (!isIn(streamOf.room(room), shard)) rooms.add(room);
  }
  if (users.size + keys.size + rooms.size === 0) return undefined;
  return { users: [...users], keys: [...keys], rooms: [...rooms] };
}

/** What either of two answers knows. */
export function merged(one: RouteAnswer, other: RouteAnswer = NO_ROUTES): RouteAnswer {
  if (other.users.size + other.keys.size + other.rooms.size === 0) return one;
  return {
    users: new Map([...one.users, ...other.users]),
    keys: new Map([...one.keys, ...other.keys]),
    rooms: new Map([...one.rooms, ...other.rooms]),
  };
}

/** An answer for pushes that need no route. */
export const NO_ROUTES: RouteAnswer = { users: new Map(), keys: new Map(), rooms: new Map() };

/** One entry for each comet that a push goes to, with what is for it there; nothing is named twice. */
export function routePush<Comet>(
  { live, hints }: RoutedTargets,
  answer: RouteAnswer,
  comets: Comets<Comet>,
): RoutedPush<Comet> {
  const [only] = hints;
  if (only?.to.kind === 'user' && hints.length === 1 && isNobody(live))
    return toOne(hints, answer.users.get(only.to.mid) ?? [], comets);
  const to = new Map<Comet, CometTargets<Comet>>();
  const missing: NodeRef[] = [];
  const at = (comet: Comet): CometTargets<Comet> => {
    let targets = to.get(comet);
    if (!targets) to.set(comet, (targets = { comet, keys: [], rooms: [], everyone: false, hints: [] }));
    return targets;
  };
  // Only a push with several targets can reach a connection twice.
  const seen = live.users.length + live.keys.length > 1 ? new Set<ConnectionKey>() : undefined;
  const toRoute = (route: Route): void => {
    if (seen?.has(route.key)) return;
    seen?.add(route.key);
    const comet = comets.find(route.at);
    if (comet === undefined) missing.push(route.at);
    else at(comet).keys.push(route.key);
  };

  const tell = (comet: Comet, hint: EntryHint): void => {
    const told = at(comet).hints;
    if (told.at(-1) !== hint) told.push(hint);
  };
  for (const hint of hints) {
    if (hint.to.kind === 'everyone') for (const comet of comets.everyone()) tell(comet, hint);
    else
      for (const ref of followersOf(hint.to, answer)) {
        const comet = comets.find(ref);
        if (comet === undefined) missing.push(ref);
        else tell(comet, hint);
      }
  }
  for (const mid of live.users) for (const route of answer.users.get(mid) ?? []) toRoute(route);
  for (const key of live.keys) {
    const route = answer.keys.get(key);
    if (route) toRoute(route);
  }
  for (const room of live.rooms.length > 1 ? new Set(live.rooms) : live.rooms) {
    for (const ref of answer.rooms.get(room) ?? []) {
      const comet = comets.find(ref);
      if (comet === undefined) missing.push(ref);
      else at(comet).rooms.push(room);
    }
  }
  if (live.everyone) for (const comet of comets.everyone()) at(comet).everyone = true;
  return { to: [...to.values()], missing };
}

/** Of a push for one user, as most are: there is nothing to be joined. */
function toOne<Comet>(
  hints: readonly EntryHint[],
  routes: readonly Route[],
  comets: Comets<Comet>,
): RoutedPush<Comet> {
  const to: CometTargets<Comet>[] = [];
  const missing: NodeRef[] = [];
  for (const { at } of routes) {
    const comet = comets.find(at);
    if (comet === undefined) missing.push(at);
    else if (!to.some((told) => told.comet === comet))
      to.push({ comet, keys: [], rooms: [], everyone: false, hints: [...hints] });
  }
  return { to, missing };
}

function isNobody({ users, keys, rooms, everyone }: PushTargets): boolean {
  return users.length + keys.length + rooms.length === 0 && !everyone;
}

/**
 * Of a user also the comets that have only other devices than those named: they pass over it, and so know that nothing is
 * missing.
 */
function followersOf(to: Exclude<Followers, { kind: 'everyone' }>, answer: RouteAnswer): readonly NodeRef[] {
  if (to.kind === 'room') return answer.rooms.get(to.room) ?? [];
  return (answer.users.get(to.mid) ?? []).map(({ at }) => at);
}
