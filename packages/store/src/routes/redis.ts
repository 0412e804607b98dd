import { randomUUID } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeId, NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import type { Logger } from '@halley/service/log';

import { RedisConnection } from '../redis/connection.js';
import { readScripts } from '../redis/scripts.js';
import { shardOf, streamOf } from '../shard.js';
import type { RoutesConfig } from './config.js';
import { RedisClaims } from './redis/claims.js';
import { ANONYMOUS, hashName, liveNodes, liveRoutes } from './redis/hashes.js';
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

const SCRIPTS = readScripts('routes/redis/', {
  claim: ['claim'],
  release: ['release'],
  renew: ['renew'],
  'enter-room': ['enter-room'],
  find: ['find'],
  generation: ['generation'],
});

export interface RedisRoutesDeps {
  readonly config: RoutesConfig;
  /** The bus's partition count: a stream's routes lie in the shard of its partition. */
  readonly shards: number;
  readonly log: Logger;
}

/** Routes on Redis. Everything of shard p has the hash tag `{p}`, so that one script call serves a shard. */
export class RedisRoutes implements Routes {
  readonly name = 'routes';
  readonly #connection: RedisConnection<keyof typeof SCRIPTS>;
  readonly #claims: RedisClaims;

  constructor(private readonly deps: RedisRoutesDeps) {
    this.#connection = new RedisConnection({
      location: deps.config,
      store: 'the route store',
      scripts: SCRIPTS,
      log: deps.log,
    });
    this.#claims = new RedisClaims({
      connection: this.#connection,
      config: deps.config,
      shards: deps.shards,
      routeKey: (mid, key) => this.#routeKey(mid, key),
      routeStream,
      directoryKey: (key) => this.#directoryKey(key),
      find: (query) => this.find(query),
    });
  }

  start(): Promise<void> {
    return this.#connection.start();
  }

  async stop(): Promise<void> {
    this.#connection.stop();
  }

  healthy(): boolean {
    return this.#connection.healthy();
  }

  async claim(claim: Claim): Promise<Claimed> {
    const [outcome] = await this.#claims.claim([claim]);
    if (!outcome || outcome instanceof HalleyError) throw outcome;
    return outcome;
  }

  claimMany(claims: readonly Claim[]): Promise<readonly ClaimOutcome[]> {
    return this.#claims.claim(claims);
  }

  async release(session: SessionLease): Promise<boolean> {
    const [released = false] = await this.#claims.release([session]);
    return released;
  }

  releaseMany(sessions: readonly SessionLease[]): Promise<readonly boolean[]> {
    return this.#claims.release(sessions);
  }

  async renew(renewal: Renewal): Promise<Renewed> {
    const { at } = renewal;
    const shards = new Map<number, { sessions: SessionLease[]; rooms: RoomId[] }>();
    const shard = (stream: string): { sessions: SessionLease[]; rooms: RoomId[] } =>
      getOrAdd(shards, shardOf(stream, this.deps.shards), () => ({ sessions: [], rooms: [] }));
    for (const session of renewal.sessions)
      shard(routeStream(session.mid, session.key)).sessions.push(session);
    for (const room of renewal.rooms) shard(streamOf.room(room)).rooms.push(room);

    const superseded: SessionLease[] = [];
    const [generation] = await Promise.all([
      this.#connection.run('generation', [`${this.deps.config.keyPrefix}generation`], [randomUUID()]),
      ...[...shards.values()].map(async ({ sessions, rooms }) => {
        const results = (await this.#connection.run(
          'renew',
          [
            ...sessions.map(({ mid, key }) => this.#routeKey(mid, key)),
            ...rooms.map((room) => this.#roomKey(room)),
          ],
          [
            at.node,
            at.incarnation,
            this.deps.config.leaseMs,
            this.deps.config.directoryTtlMs / 4,
            sessions.length,
            ...sessions.flatMap(({ key, owner }) => [key, owner]),
          ],
        )) as number[];
        superseded.push(...sessions.filter((_, i) => results[i] === 1));
        const due = sessions.filter((_, i) => results[i] === 2);
        await Promise.all(due.map(({ mid, key }) => this.#writeDirectory(mid, key)));
      }),
    ]);
    return { generation: generation as string, superseded };
  }

  async enterRoom(room: RoomId, at: NodeRef): Promise<void> {
    await this.#connection.run(
      'enter-room',
      [this.#roomKey(room)],
      [nodeField(at), this.deps.config.leaseMs],
    );
  }

  async leaveRoom(room: RoomId, at: NodeRef): Promise<void> {
    await this.#connection.guard(() => this.#connection.redis.hdel(this.#roomKey(room), nodeField(at)));
  }

  async find(query: RouteQuery): Promise<RouteAnswer> {
    const owners = query.keys?.length ? await this.owners(query.keys) : new Map<ConnectionKey, UserId>();
    const wantedUsers = new Set(query.users ?? []);
    const shards = new Map<number, Hash[]>();
    const add = (stream: string, hash: Hash): void => {
      getOrAdd(shards, shardOf(stream, this.deps.shards), () => []).push(hash);
    };
    const hashes = new Map<string, { user: UserId; stream: string }>();
    for (const user of wantedUsers) {
      if (user !== ANONYMOUS) hashes.set(this.#userKey(user), { user, stream: streamOf.user(user) });
    }
    for (const [key, user] of owners)
      hashes.set(this.#routeKey(user, key), { user, stream: routeStream(user, key) });
    for (const [redisKey, { user, stream }] of hashes) add(stream, { redisKey, user });
    for (const room of new Set(query.rooms))
      add(streamOf.room(room), { redisKey: this.#roomKey(room), room });

    const users = new Map<UserId, Route[]>();
    const keys = new Map<ConnectionKey, Route>();
    const rooms = new Map<RoomId, NodeRef[]>();
    await Promise.all(
      [...shards.values()].map(async (group) => {
        const redisKeys = group.map((hash) => hash.redisKey);
        const [now, ...contents] = (await this.#connection.run('find', redisKeys, [])) as [
          string,
          ...string[][],
        ];
        group.forEach((hash, i) => {
          const fields = contents[i] ?? [];
          if ('user' in hash) {
            const routes = liveRoutes(hash.user, fields, Number(now));
            if (wantedUsers.has(hash.user) && hash.user !== ANONYMOUS && routes.length > 0)
              users.set(hash.user, routes);
            for (const route of routes) if (owners.get(route.key) === hash.user) keys.set(route.key, route);
          } else {
            const nodes = liveNodes(fields, Number(now));
            if (nodes.length > 0) rooms.set(hash.room, nodes);
          }
        });
      }),
    );
    return { users, keys, rooms };
  }

  async owners(keys: readonly ConnectionKey[]): Promise<ReadonlyMap<ConnectionKey, UserId>> {
    const shards = new Map<number, ConnectionKey[]>();
    for (const key of new Set(keys)) {
      getOrAdd(shards, shardOf(streamOf.key(key), this.deps.shards), () => []).push(key);
    }
    const owners = new Map<ConnectionKey, UserId>();
    await Promise.all(
      [...shards.values()].map(async (group) => {
        const redisKeys = group.map((key) => this.#directoryKey(key));
        const mids = await this.#connection.guard(() => this.#connection.redis.mget(redisKeys));
        group.forEach((key, i) => {
          const mid = mids[i];
          if (mid) owners.set(key, mid as UserId);
        });
      }),
    );
    return owners;
  }

  async putOnline(node: NodeId, counts: ReadonlyMap<RoomId, number>, ttlMs: number): Promise<void> {
    const value = JSON.stringify([...counts].filter(([, count]) => count > 0));
    await this.#connection.guard(async () => {
      await Promise.all([
        this.#connection.redis.set(this.#onlineKey(node), value, 'PX', ttlMs),
        this.#connection.redis.sadd(this.#onlineNodesKey(), node),
      ]);
    });
  }

  async dropOnline(node: NodeId): Promise<void> {
    await this.#connection.guard(async () => {
      await Promise.all([
        this.#connection.redis.del(this.#onlineKey(node)),
        this.#connection.redis.srem(this.#onlineNodesKey(), node),
      ]);
    });
  }

  async online(): Promise<ReadonlyMap<RoomId, number>> {
    const { redis } = this.#connection;
    return this.#connection.guard(async () => {
      const nodes = (await redis.smembers(this.#onlineNodesKey())) as NodeId[];
      const figures = await Promise.all(nodes.map((node) => redis.get(this.#onlineKey(node))));
      const gone = nodes.filter((_, i) => figures[i] === null);
      if (gone.length > 0) await redis.srem(this.#onlineNodesKey(), gone);
      const sums = new Map<RoomId, number>();
      for (const figure of figures) {
        if (figure === null) continue;
        for (const [room, count] of JSON.parse(figure) as [RoomId, number][]) {
          sums.set(room, (sums.get(room) ?? 0) + count);
        }
      }
      return sums;
    });
  }

  async #writeDirectory(mid: UserId, key: ConnectionKey): Promise<void> {
    await this.#connection.guard(() =>
      this.#connection.redis.set(this.#directoryKey(key), mid, 'PX', this.deps.config.directoryTtlMs),
    );
  }

  #shardKey(stream: string, name: string): string {
    return `${this.deps.config.keyPrefix}{${shardOf(stream, this.deps.shards)}}:${name}`;
  }

  #routeKey(mid: UserId, key: ConnectionKey): string {
    return mid === ANONYMOUS ? this.#shardKey(streamOf.key(key), `a:${key}`) : this.#userKey(mid);
  }

  #userKey(mid: UserId): string {
    return this.#shardKey(streamOf.user(mid), hashName.user(mid));
  }

  #directoryKey(key: ConnectionKey): string {
    return this.#shardKey(streamOf.key(key), `k:${key}`);
  }

  #roomKey(room: RoomId): string {
    return this.#shardKey(streamOf.room(room), hashName.room(room));
  }

  #onlineKey(node: NodeId): string {
    return `${this.deps.config.keyPrefix}online:${node}`;
  }

  #onlineNodesKey(): string {
    return `${this.deps.config.keyPrefix}online`;
  }
}

function routeStream(mid: UserId, key: ConnectionKey): string {
  return mid === ANONYMOUS ? streamOf.key(key) : streamOf.user(mid);
}

type Hash = { redisKey: string; user: UserId } | { redisKey: string; room: RoomId };

function nodeField(at: NodeRef): string {
  return `${at.node}\n${at.incarnation}`;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
