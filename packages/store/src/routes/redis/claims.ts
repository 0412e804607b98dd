import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import { Cluster } from 'ioredis';

import type { RedisConnection } from '../../redis/connection.js';
import { shardOf, streamOf } from '../../shard.js';
import type { RoutesConfig } from '../config.js';
import type { Claim, Claimed, ClaimOutcome, RouteAnswer, RouteQuery, SessionLease } from '../routes.js';
import { parseRoute } from './hashes.js';

export interface RedisClaimsDeps {
  readonly connection: RedisConnection<string>;
  readonly config: Pick<RoutesConfig, 'leaseMs' | 'directoryTtlMs'>;
  /** The bus's partition count. */
  readonly shards: number;
  /** The hash that a route stands in, and the stream whose shard it lies in. */
  readonly routeKey: (mid: UserId, key: ConnectionKey) => string;
  readonly routeStream: (mid: UserId, key: ConnectionKey) => string;
  readonly directoryKey: (key: ConnectionKey) => string;
  readonly find: (query: RouteQuery) => Promise<RouteAnswer>;
}

/** One of a list, at its place there. */
interface Placed<Item> {
  readonly item: Item;
  readonly index: number;
}

/**
 * Writes and removes routes, many in a call: of a Redis by itself one script serves all of them, of a cluster one serves a
 * shard, and what goes wrong there is that shard's alone.
 */
export class RedisClaims {
  readonly #clustered: boolean;

  constructor(private readonly deps: RedisClaimsDeps) {
    this.#clustered = deps.connection.redis instanceof Cluster;
  }

  /** As {@link Routes.claimMany}. */
  async claim(claims: readonly Claim[]): Promise<readonly ClaimOutcome[]> {
    const outcomes: ClaimOutcome[] = claims.map(() => NOT_SERVED);
    let left: readonly Placed<Claim>[] = claims.map((item, index) => ({ item, index }));
    while (left.length > 0) {
      // Who claims the same key comes when the one in front is served.
      const keys = new Set<ConnectionKey>();
      const now: Placed<Claim>[] = [];
      const later: Placed<Claim>[] = [];
      for (const one of left) {
        if (keys.has(one.item.key)) later.push(one);
        else {
          keys.add(one.item.key);
          now.push(one);
        }
      }
      const allowed = await this.#allowed(now, outcomes);
      await this.#grouped(
        allowed,
        ({ mid, key }) => this.deps.routeStream(mid, key),
        outcomes,
        (group) => this.#write(group, outcomes),
      );
      left = later;
    }
    return outcomes;
  }

  /** As {@link Routes.releaseMany}. */
  async release(sessions: readonly SessionLease[]): Promise<readonly boolean[]> {
    const released = sessions.map(() => false);
    const { connection, config, routeKey, routeStream } = this.deps;
    const placed = sessions.map((item, index) => ({ item, index }));
    const groups = this.#groups(placed, ({ mid, key }) => routeStream(mid, key));
    await Promise.all(
      groups.map(async (group) => {
        const answer = (await connection.run(
          'release',
          [...group.map(({ item }) => routeKey(item.mid, item.key)), ...this.#directoryHere(group)],
          [config.directoryTtlMs, ...group.flatMap(({ item: { mid, key, owner } }) => [key, mid, owner])],
        )) as number[];
        const gone = group.filter((_, i) => answer[i] === 1);
        for (const { index } of gone) released[index] = true;
        await this.#directoryElsewhere(gone);
      }),
    );
    return released;
  }

  /** Those whose key no other user has; of the others the outcome is known. */
  async #allowed(
    claims: readonly Placed<Claim>[],
    outcomes: ClaimOutcome[],
  ): Promise<readonly Placed<Claim>[]> {
    const refused = new Set<number>();
    const { connection, directoryKey, find } = this.deps;
    await this.#grouped(
      claims,
      ({ key }) => streamOf.key(key),
      outcomes,
      async (group) => {
        for (const { index } of group) refused.add(index);
        const mids = await connection.guard(() =>
          connection.redis.mget(group.map(({ item }) => directoryKey(item.key))),
        );
        const others = group.filter(({ item }, i) => mids[i] && mids[i] !== item.mid);
        const held =
          others.length > 0 ? (await find({ keys: others.map(({ item }) => item.key) })).keys : NOBODY;
        for (const { item, index } of group) {
          const holder = held.get(item.key);
          if (holder && holder.mid !== item.mid) outcomes[index] = new HalleyError('key_in_use');
          else refused.delete(index);
        }
      },
    );
    return refused.size > 0 ? claims.filter(({ index }) => !refused.has(index)) : claims;
  }

  async #write(group: readonly Placed<Claim>[], outcomes: ClaimOutcome[]): Promise<void> {
    const { connection, config, routeKey } = this.deps;
    const answer = (await connection.run(
      'claim',
      [...group.map(({ item }) => routeKey(item.mid, item.key)), ...this.#directoryHere(group)],
      [
        config.leaseMs,
        config.directoryTtlMs,
        ...group.flatMap(({ item: { mid, key, at, counter } }) => [
          key,
          mid,
          at.node,
          at.incarnation,
          String(counter).padStart(10, '0'),
        ]),
      ],
    )) as string[];
    await this.#directoryElsewhere(group);
    group.forEach(({ item, index }, i) => {
      outcomes[index] = claimedOf(item, answer[2 * i]!, answer[2 * i + 1]!);
    });
  }

  /** A Redis by itself writes the directory in the same script. */
  #directoryHere(group: readonly Placed<SessionKey>[]): string[] {
    return this.#clustered ? [] : group.map(({ item }) => this.deps.directoryKey(item.key));
  }

  /** Of a cluster the directory's entries may lie on another node. */
  async #directoryElsewhere(group: readonly Placed<SessionKey>[]): Promise<void> {
    if (!this.#clustered) return;
    const { connection, config, directoryKey } = this.deps;
    await connection.guard(() =>
      Promise.all(
        group.map(({ item: { mid, key } }) =>
          connection.redis.set(directoryKey(key), mid, 'PX', config.directoryTtlMs),
        ),
      ),
    );
  }

  /** Serves each group for itself: what one throws is the outcome of its own. */
  async #grouped(
    claims: readonly Placed<Claim>[],
    streamOfItem: (claim: Claim) => string,
    outcomes: ClaimOutcome[],
    serve: (group: readonly Placed<Claim>[]) => Promise<void>,
  ): Promise<void> {
    await Promise.all(
      this.#groups(claims, streamOfItem).map(async (group) => {
        try {
          await serve(group);
        } catch (error) {
          for (const { index } of group) outcomes[index] = HalleyError.from(error);
        }
      }),
    );
  }

  #groups<Item>(
    items: readonly Placed<Item>[],
    streamOfItem: (item: Item) => string,
  ): (readonly Placed<Item>[])[] {
    if (items.length === 0) return [];
    if (!this.#clustered) return [items];
    const groups = new Map<number, Placed<Item>[]>();
    for (const one of items) {
      const shard = shardOf(streamOfItem(one.item), this.deps.shards);
      const group = groups.get(shard);
      if (group) group.push(one);
      else groups.set(shard, [one]);
    }
    return [...groups.values()];
  }
}

type SessionKey = Pick<SessionLease, 'mid' | 'key'>;

const NOBODY: RouteAnswer['keys'] = new Map();

/** Each is replaced by what became of it. */
const NOT_SERVED = new HalleyError('internal', 'The claim was not served.');

function claimedOf({ mid, key }: Claim, owner: string, displaced: string): Claimed {
  return displaced === '' ? { owner } : { owner, displaced: parseRoute(mid, key, displaced) };
}
