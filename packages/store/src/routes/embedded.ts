import { randomUUID } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeId, NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import { systemClock, type Clock } from '@halley/service/clock';

import type {
  Claim,
  Claimed,
  ClaimOutcome,
  Renewal,
  Renewed,
  Route,
  RouteAnswer,
  RouteQuery,
  Routes,
  SessionLease,
} from './routes.js';

export interface EmbeddedRoutesDeps {
  readonly leaseMs: number;
  readonly clock?: Clock;
}

interface Leased {
  readonly route: Route;
  leaseUntilMs: number;
}

/**
 * Routes in the memory of the process that also holds the connections: they end together, so nothing need be kept.
 * The directory of keys lives as long as the process, for up to the newest 100,000 keys.
 */
export class EmbeddedRoutes implements Routes {
  readonly name = 'routes';
  readonly #users = new Map<UserId, Map<ConnectionKey, Leased>>();
  readonly #directory = new Map<ConnectionKey, UserId>();
  readonly #rooms = new Map<RoomId, Map<string, { at: NodeRef; leaseUntilMs: number }>>();
  readonly #online = new Map<NodeId, { counts: ReadonlyMap<RoomId, number>; untilMs: number }>();
  readonly #generation = randomUUID();
  readonly #clock: Clock;
  #lastOwnerUs = 0;

  constructor(private readonly deps: EmbeddedRoutesDeps) {
    this.#clock = deps.clock ?? systemClock;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  healthy(): boolean {
    return true;
  }

  async claim({ mid, key, at, counter }: Claim): Promise<Claimed> {
    const holder = this.#liveOfKey(key);
    if (holder && holder.mid !== mid) throw new HalleyError('key_in_use');
    const count = String(counter).padStart(10, '0');
    const sameComet = holder?.at.node === at.node && holder.at.incarnation === at.incarnation;
    if (holder && sameComet && counter > 0) {
      const held = holder.owner.slice(-10);
      // It was asked for twice: the connection stays the owner that it was told it is.
      if (held === count) return { owner: holder.owner };
      // Of one comet the later connection is the newer, also when its claim was served first. The owner answered is older.
      if (held > count) return { owner: holder.owner.slice(0, -10) + count };
    }
    const now = this.#clock.now();
    this.#lastOwnerUs = Math.max(this.#lastOwnerUs + 1, now * 1_000);
    const time = String(this.#lastOwnerUs).padStart(16, '0');
    const owner = `${time}-${at.incarnation}-${count}`;
    this.#write({ mid, key, at, owner, connectedAtMs: now });
    return holder ? { owner, displaced: holder } : { owner };
  }

  async claimMany(claims: readonly Claim[]): Promise<readonly ClaimOutcome[]> {
    const outcomes: ClaimOutcome[] = [];
    for (const claim of claims)
      outcomes.push(await this.claim(claim).catch((error: unknown) => HalleyError.from(error)));
    return outcomes;
  }

  async release({ mid, key, owner }: SessionLease): Promise<boolean> {
    const routes = this.#users.get(mid);
    if (routes?.get(key)?.route.owner !== owner) return false;
    routes.delete(key);
    if (routes.size === 0) this.#users.delete(mid);
    return true;
  }

  releaseMany(sessions: readonly SessionLease[]): Promise<readonly boolean[]> {
    return Promise.all(sessions.map((session) => this.release(session)));
  }

  async renew({ at, sessions, rooms }: Renewal): Promise<Renewed> {
    const superseded: SessionLease[] = [];
    for (const session of sessions) {
      const { mid, key, owner } = session;
      const old = this.#users.get(mid)?.get(key)?.route;
      if (old && old.owner > owner) superseded.push(session);
      else
        this.#write({ mid, key, at, owner, connectedAtMs: Math.floor(Number(owner.slice(0, 16)) / 1_000) });
    }
    for (const room of rooms) await this.enterRoom(room, at);
    return { generation: this.#generation, superseded };
  }

  async enterRoom(room: RoomId, at: NodeRef): Promise<void> {
    const nodes = this.#rooms.get(room) ?? new Map<string, { at: NodeRef; leaseUntilMs: number }>();
    nodes.set(`${at.node}\n${at.incarnation}`, { at, leaseUntilMs: this.#clock.now() + this.deps.leaseMs });
    this.#rooms.set(room, nodes);
  }

  async leaveRoom(room: RoomId, at: NodeRef): Promise<void> {
    const nodes = this.#rooms.get(room);
    nodes?.delete(`${at.node}\n${at.incarnation}`);
    if (nodes?.size === 0) this.#rooms.delete(room);
  }

  async find(query: RouteQuery): Promise<RouteAnswer> {
    const users = new Map<UserId, Route[]>();
    const keys = new Map<ConnectionKey, Route>();
    const rooms = new Map<RoomId, NodeRef[]>();
    const now = this.#clock.now();
    for (const mid of query.users ?? []) {
      if (mid === '0') continue;
      const live = [...(this.#users.get(mid)?.values() ?? [])].filter((leased) => leased.leaseUntilMs > now);
      if (live.length > 0)
        users.set(
          mid,
          live.map((leased) => leased.route),
        );
    }
    for (const key of query.keys ?? []) {
      const route = this.#liveOfKey(key);
      if (route) keys.set(key, route);
    }
    for (const room of query.rooms ?? []) {
      const live = [...(this.#rooms.get(room)?.values() ?? [])].filter((node) => node.leaseUntilMs > now);
      if (live.length > 0)
        rooms.set(
          room,
          live.map((node) => node.at),
        );
    }
    return { users, keys, rooms };
  }

  async owners(keys: readonly ConnectionKey[]): Promise<ReadonlyMap<ConnectionKey, UserId>> {
    const owners = new Map<ConnectionKey, UserId>();
    for (const key of keys) {
      const mid = this.#directory.get(key);
      if (mid !== undefined) owners.set(key, mid);
    }
    return owners;
  }

  async putOnline(node: NodeId, counts: ReadonlyMap<RoomId, number>, ttlMs: number): Promise<void> {
    this.#online.set(node, { counts: new Map(counts), untilMs: this.#clock.now() + ttlMs });
  }

  async dropOnline(node: NodeId): Promise<void> {
    this.#online.delete(node);
  }

  async online(): Promise<ReadonlyMap<RoomId, number>> {
    const sums = new Map<RoomId, number>();
    for (const [node, { counts, untilMs }] of this.#online) {
      if (untilMs <= this.#clock.now()) {
        this.#online.delete(node);
        continue;
      }
      for (const [room, count] of counts) if (count > 0) sums.set(room, (sums.get(room) ?? 0) + count);
    }
    return sums;
  }

  #write(route: Route): void {
    const routes = this.#users.get(route.mid) ?? new Map<ConnectionKey, Leased>();
    routes.set(route.key, { route, leaseUntilMs: this.#clock.now() + this.deps.leaseMs });
    this.#users.set(route.mid, routes);
    this.#directory.delete(route.key);
    this.#directory.set(route.key, route.mid);
    if (this.#directory.size > 100_000) {
      const [oldest] = this.#directory.keys();
      if (oldest !== undefined) this.#directory.delete(oldest);
    }
  }

  #liveOfKey(key: ConnectionKey): Route | undefined {
    const mid = this.#directory.get(key);
    const leased = mid === undefined ? undefined : this.#users.get(mid)?.get(key);
    return leased && leased.leaseUntilMs > this.#clock.now() ? leased.route : undefined;
  }
}
