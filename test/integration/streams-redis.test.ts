import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ConnectionKey, NodeId, RoomId, UserId } from '@halley/protocol/ids';
import { silentLogger, type Logger } from '@halley/service/log';
import { startRedis } from '@halley/services/redis';
import type { RunningService } from '@halley/services/running-service';
import { routesConfig } from '@halley/store/routes/config';
import { shardOf } from '@halley/store/shard';
import { streamsConfig } from '@halley/store/streams/config';
import { RedisRoutes } from '@halley/store/routes/redis';
import { RedisStreams } from '@halley/store/streams/redis';
import { Redis } from 'ioredis';

import {
  makePush,
  NO_LIMITS,
  ShardFixture,
  type StreamsHarness,
} from '../../packages/store/src/streams/contract-fixture.js';
import { streamsContract } from '../../packages/store/src/streams/contract.js';

const SHARDS = 24;

interface Settings {
  readonly keyPrefix?: string;
  readonly commandTimeoutMs?: number;
  readonly cluster?: readonly string[];
  readonly log?: Logger;
}

function makeStreams(
  address: string,
  { log = silentLogger(), cluster, ...settings }: Settings = {},
): RedisStreams {
  const location = routesConfig.parse({
    url: `redis://${address}`,
    ...(cluster && { cluster: [...cluster] }),
    ...settings,
  });
  return new RedisStreams({ location, config: streamsConfig.parse({}), shards: SHARDS, log });
}

async function contractHarness(
  address: string,
  settings: Settings,
  removeKeys: () => Promise<void>,
): Promise<StreamsHarness> {
  let streams = makeStreams(address, settings);
  await streams.start();
  return {
    get streams() {
      return streams;
    },
    shards: SHARDS,
    now: () => Date.now(),
    pass: (ms: number) => sleep(ms),
    empty: removeKeys,
    reopen: async () => {
      await streams.stop();
      streams = makeStreams(address, settings);
      await streams.start();
    },
    close: async () => {
      await streams.stop();
      await removeKeys();
    },
  };
}

streamsContract('Redis', async () => {
  const address = process.env['HALLEY_TEST_REDIS']!;
  const keyPrefix = `contract-${process.pid}:`;
  return contractHarness(address, { keyPrefix, commandTimeoutMs: 5_000 }, async () => {
    const redis = new Redis(`redis://${address}`);
    const keys = await redis.keys(`${keyPrefix}*`);
    for (let at = 0; at < keys.length; at += 1_000) await redis.del(keys.slice(at, at + 1_000));
    redis.disconnect();
  });
});

/**
 * Appends to every user and room, and expects with each batch the routes that the route store finds: also of those who have
 * none, and of a batch that is repeated.
 */
async function expectRoutesOfAppends(
  address: string,
  settings: Settings,
  streams: RedisStreams,
): Promise<void> {
  const config = routesConfig.parse({
    url: `redis://${address}`,
    ...(settings.cluster && { cluster: [...settings.cluster] }),
    keyPrefix: settings.keyPrefix ?? '',
    leaseMs: 60_000,
  });
  const brief = { ...config, leaseMs: 100 };
  const [routes, fading] = [config, brief].map(
    (location) => new RedisRoutes({ config: location, shards: SHARDS, log: silentLogger() }),
  ) as [RedisRoutes, RedisRoutes];
  await Promise.all([routes.start(), fading.start()]);
  const at = { node: 'comet:3109' as NodeId, incarnation: 'i' };
  const other = { node: 'other:3109' as NodeId, incarnation: 'ü' };
  const users = Array.from({ length: 60 }, (_, i) => String(9_007_199_254_740_993n + BigInt(i)) as UserId);
  const rooms = Array.from({ length: 60 }, (_, i) => `live://ü ${i}` as RoomId);
  const claim = (mid: UserId, device: string, by = routes) =>
    by.claim({ mid, key: `${mid} ${device}` as ConnectionKey, at, counter: 0 });
  for (const [index, mid] of users.entries()) {
    if (index % 3 > 0) await claim(mid, 'a');
    if (index % 3 > 1) await claim(mid, 'b');
    if (index % 4 === 0) await claim(mid, 'gone', fading);
  }
  for (const [index, room] of rooms.entries()) {
    if (index % 3 > 0) await routes.enterRoom(room, at);
    if (index % 3 > 1) await routes.enterRoom(room, other);
  }
  await sleep(150);
  for (let shard = 0; shard < SHARDS; shard += 1) {
    await streams.restore(shard, 'routes', -1);
    const routesOf = {
      users: users.filter((mid) => shardOf(`u/${mid}`, SHARDS) === shard),
      rooms: rooms.filter((room) => shardOf(`r/${room}`, SHARDS) === shard),
    };
    const targets = routesOf.users.map((mid) => `u/${mid}`);
    const pushes = targets.length > 0 ? [makePush(0, targets)] : [];
    const batch = { shard, epoch: 'routes', before: -1, through: 1_023, pushes, routesOf };
    const found = await routes.find(routesOf);
    for (const again of [false, true]) {
      const answer = await streams.append(batch);
      expect(answer).toMatchObject({ outcome: 'appended', entries: again ? [] : expect.anything() });
      expect(answer).toMatchObject({ routes: found });
    }
    const plain = await streams.append({ shard, epoch: 'routes', before: 1_023, through: 2_047, pushes: [] });
    expect('routes' in plain).toBe(false);
  }
  await Promise.all([routes.stop(), fading.stop()]);
}

test('an append answers the routes of its users and rooms as the route store does', async () => {
  const address = process.env['HALLEY_TEST_REDIS']!;
  const settings = { keyPrefix: `with-routes-${process.pid}:`, commandTimeoutMs: 5_000 };
  const streams = makeStreams(address, settings);
  await streams.start();
  await expectRoutesOfAppends(address, settings, streams);
  await streams.stop();
});

describe('streams on a Redis Cluster', () => {
  let nodes: RunningService[];
  let admins: Redis[];
  let streams: RedisStreams;

  beforeAll(async () => {
    nodes = await Promise.all([startRedis({ cluster: true }), startRedis({ cluster: true })]);
    admins = nodes.map(({ address }) => new Redis(`redis://${address}`));
    const [one, two] = admins as [Redis, Redis];
    await one.call('CLUSTER', 'ADDSLOTSRANGE', '0', '8191');
    await two.call('CLUSTER', 'ADDSLOTSRANGE', '8192', '16383');
    const [, busPort] = (await two.config('GET', 'cluster-port')) as string[];
    await one.call('CLUSTER', 'MEET', '127.0.0.1', String(nodes[1]!.port), busPort!);
    const joined = async (redis: Redis) => {
      const info = String(await redis.call('CLUSTER', 'INFO'));
      return /cluster_state:ok/.test(info) && /cluster_slots_assigned:16384/.test(info);
    };
    for (let i = 0; i < 200 && !((await joined(one)) && (await joined(two))); i += 1) await sleep(50);
    streams = makeStreams('', { cluster: nodes.map(({ address }) => address) });
    await streams.start();
  });
  afterAll(async () => {
    await streams.stop();
    for (const admin of admins) admin.disconnect();
    await Promise.all(nodes.map((node) => node.stop()));
  });

  test('an append answers the routes that lie in its shard', () => {
    const cluster = nodes.map(({ address }) => address);
    return expectRoutesOfAppends(cluster[0]!, { cluster }, streams);
  });

  test('each shard is on one node, and every call about it goes there', async () => {
    const users = Array.from({ length: 500 }, (_, i) => `u/${i + 1}`);
    const body = Buffer.alloc(2_000, 'x');
    for (let shard = 0; shard < SHARDS; shard += 1) {
      await streams.restore(shard, 'e', -1);
      const targets = users.filter((stream) => shardOf(stream, SHARDS) === shard);
      const pushes = [makePush(0, targets, { body }), makePush(1, targets)];
      const batch = { shard, epoch: 'e', before: -1, through: 1, pushes };
      expect(await streams.append(batch)).toMatchObject({ outcome: 'appended' });
      expect((await streams.scan(shard, 'e', -1, 10))!.entries).toHaveLength(2 * targets.length);
      await streams.trim(shard, 'e', 0);
      expect(await streams.state(shard, 'e')).toEqual({ applied: 1, trimmed: 0 });
    }
    const queries = users.map((stream) => ({ stream, after: -1, ...NO_LIMITS }));
    const pages = await streams.read('e', queries);
    expect(new Set(pages.map((page) => page?.entries[0]?.position))).toEqual(new Set([1]));
    expect((await streams.newest(users)).size).toBe(500);
    await streams.saveCursors(
      users.map((stream) => ({
        stream,
        key: 'web' as ConnectionKey,
        epoch: 'e',
        position: 1,
        owner: '1',
        ttlMs: 60_000,
      })),
    );
    expect((await streams.cursors('u/500')).get('web' as ConnectionKey)).toEqual({ epoch: 'e', position: 1 });
    for (const admin of admins) expect(await admin.dbsize()).toBeGreaterThan(100);
    expect([streams.healthy(), streams.full()]).toEqual([true, false]);
  });

  test('one node at its high-water mark is enough to take nothing more', async () => {
    await admins[1]!.config('SET', 'maxmemory', '100000');
    for (let i = 0; i < 100 && !streams.full(); i += 1) await sleep(50);
    expect(streams.full()).toBe(true);
    await admins[1]!.config('SET', 'maxmemory', '0');
    for (let i = 0; i < 100 && streams.full(); i += 1) await sleep(50);
    expect(streams.full()).toBe(false);
  });
});

describe('streams on a Redis of their own', () => {
  let redis: RunningService;
  let admin: Redis;
  let streams: RedisStreams;
  const fixture = (shard = 0): ShardFixture =>
    new ShardFixture({ streams, shards: SHARDS, now: () => Date.now() }, shard);

  beforeAll(async () => {
    redis = await startRedis();
    admin = new Redis(`redis://${redis.address}`);
    streams = makeStreams(redis.address, { commandTimeoutMs: 5_000 });
    await streams.start();
  });
  afterAll(async () => {
    await streams.stop();
    admin.disconnect();
    await redis.stop();
  });

  const memory = async (name = 'used_memory'): Promise<number> =>
    Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(await admin.info('memory'))?.[1]);

  test('a body of 100 KB to 10,000 users takes less than 16 MB, and is given back when it is trimmed', async () => {
    await admin.flushall();
    for (let shard = 0; shard < SHARDS; shard += 1) await streams.restore(shard, 'e', -1);
    const before = await memory();
    const users = Array.from({ length: 10_000 }, (_, i) => `u/${9_007_199_254_740_993n + BigInt(i)}`);
    const body = Buffer.alloc(100 * 1_024, 'x');
    for (let shard = 0; shard < SHARDS; shard += 1) {
      const targets = users.filter((stream) => shardOf(stream, SHARDS) === shard);
      const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
      const pushes = [makePush(1_234_567_890_432, targets, { body, traceparent })];
      const batch = { shard, epoch: 'e', before: -1, through: 1_234_567_890_432, pushes };
      expect(await streams.append(batch)).toMatchObject({ outcome: 'appended' });
    }
    const grown = (await memory()) - before;
    process.stderr.write(`a body of 100 KB to 10,000 users: ${(grown / 1_048_576).toFixed(2)} MB of Redis\n`);
    expect(grown).toBeLessThan(16 * 1_048_576);
    const query = { stream: users[9_999]!, after: -1, ...NO_LIMITS };
    expect((await streams.read('e', [query]))[0]!.entries[0]!.body).toEqual(body);

    for (let shard = 0; shard < SHARDS; shard += 1) await streams.trim(shard, 'e', 1_234_567_890_432);
    // What is left for a day are the newest positions and the id.
    expect((await memory()) - before).toBeLessThan(3 * 1_048_576);
  });

  test('everything of a shard is under its tag, and what is for a day goes by itself', async () => {
    await admin.flushall();
    const shard = await fixture(7).begin();
    const stream = shard.stream();
    const acceptedAtMs = Date.now() - 3_600_000;
    await shard.append([
      shard.push(0, [stream], { acceptedAtMs }),
      shard.push(1, [stream, shard.stream()], { body: Buffer.alloc(999), id: '' }),
    ]);
    const key = 'web' as ConnectionKey;
    await streams.saveCursors([{ stream, key, epoch: 'e', position: 0, owner: '1', ttlMs: 5_000 }]);
    const keys = await admin.keys('*');
    expect(keys.filter((key) => !key.startsWith('{7}:s:'))).toEqual([]);
    const livesMs = async (kind: string) =>
      Promise.all(keys.filter((key) => key.startsWith(`{7}:s:${kind}`)).map((key) => admin.pttl(key)));
    for (const ms of await livesMs('n:')) expect(Math.abs(ms - 24 * 3_600_000)).toBeLessThan(10_000);
    const [idMs, ...others] = await livesMs('d:');
    expect(others).toEqual([]);
    expect(Math.abs(idMs! - 23 * 3_600_000)).toBeLessThan(10_000);
    expect((await livesMs('c:'))[0]).toBeGreaterThan(3_000);
    for (const kind of ['state', 'e:', 'i', 'b:'])
      expect(new Set(await livesMs(kind))).toEqual(new Set([-1]));
  });

  test('a stream whose newest position was forgotten has it from its entries', async () => {
    await admin.flushall();
    const shard = await fixture().begin();
    const stream = shard.stream();
    const first = shard.push(5, [stream]);
    await shard.append([first]);
    await admin.del(`{0}:s:n:${stream}`);
    expect(await shard.newest(stream)).toBe(5);
    expect(await shard.offer(-1, 5, [first])).toHaveProperty('known', [{ stream, newest: 5 }]);
    expect((await shard.append([shard.push(9, [stream])])).entries).toEqual([
      { stream, position: 9, prev: 5 },
    ]);
  });

  test('one call takes a batch of 60,000 targets without holding Redis up for long', async () => {
    await admin.flushall();
    const shard = await fixture().begin();
    const targets = Array.from({ length: 10_000 }, () => shard.stream());
    const body = Buffer.alloc(20_000);
    await admin.config('RESETSTAT');
    await shard.append([0, 1, 2, 3, 4, 5].map((position) => shard.push(position, targets, { body })));
    const stats = await admin.info('commandstats');
    const usec = /cmdstat_eval(?:sha)?:calls=1,usec=(\d+)/.exec(stats)?.[1];
    process.stderr.write(`60,000 entries in one call: ${Math.round(Number(usec) / 1_000)} ms\n`);
    expect(await shard.positions(targets[9_999]!)).toEqual([0, 1, 2, 3, 4, 5]);
    await shard.trim(5);
    expect((await shard.scan()).entries).toEqual([]);
    expect((await admin.keys('{0}:s:[ebi]*')).length).toBe(0);
  });

  test('at the high-water mark appends are refused, until trimming has made room', async () => {
    await admin.flushall();
    const shard = await fixture().begin();
    const stream = shard.stream();
    for (let position = 0; position < 20; position += 1)
      await shard.append([shard.push(position, [stream], { body: Buffer.alloc(1_000_000) })]);
    await admin.config('SET', 'maxmemory', String(Math.round((await memory()) / 0.9)));
    for (let i = 0; i < 100 && !streams.full(); i += 1) await sleep(50);
    expect(streams.full()).toBe(true);
    await expect(shard.offer(19, 20, [shard.push(20, [stream])])).rejects.toMatchObject({
      code: 'store_full',
    });
    expect(await shard.state()).toEqual({ applied: 19, trimmed: -1 });
    expect(await shard.positions(stream)).toHaveLength(20);
    await shard.trim(15);
    for (let i = 0; i < 100 && streams.full(); i += 1) await sleep(50);
    expect(await shard.offer(19, 20, [shard.push(20, [stream])])).toMatchObject({ outcome: 'appended' });
    await admin.config('SET', 'maxmemory', '0');
  });

  test('out of memory, an append changes nothing and says so, and trimming still works', async () => {
    await admin.flushall();
    const shard = await fixture().begin();
    const [stream, other] = [shard.stream(), shard.stream()];
    await shard.append(
      [0, 1, 2, 3].map((position) =>
        shard.push(position, [stream, other], { body: Buffer.alloc(1_000_000) }),
      ),
    );
    await admin.config('SET', 'maxmemory', '1mb');
    const refused = await shard.offer(3, 4, [shard.push(4, [stream, other])]).catch((e: unknown) => e);
    expect(refused).toMatchObject({ code: 'store_full' });
    expect(await shard.state()).toEqual({ applied: 3, trimmed: -1 });
    await shard.trim(1);
    expect(await shard.state()).toEqual({ applied: 3, trimmed: 1 });
    await admin.config('SET', 'maxmemory', '0');
    expect(await shard.positions(stream)).toEqual([2, 3]);
  });

  test('warns of a Redis that evicts', async () => {
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
    const lines: string[] = [];
    const log = { ...silentLogger(), warn: (fields: object, text: string) => lines.push(text) };
    const warned = makeStreams(redis.address, { log: log as unknown as Logger });
    await warned.start();
    await warned.stop();
    await admin.config('SET', 'maxmemory-policy', 'noeviction');
    expect(lines.join()).toMatch(/set maxmemory-policy to noeviction/);
  });

  test('fails at once while Redis is away, and says that it is empty when it came back so', async () => {
    const shard = await fixture().begin();
    await shard.append([shard.push(0, [shard.stream()])]);
    await redis.kill();
    await expect(shard.offer(0, 1, [])).rejects.toMatchObject({ code: 'store_unavailable' });
    for (let i = 0; i < 100 && streams.healthy(); i += 1) await sleep(10);
    expect(streams.healthy()).toBe(false);
    await redis.restart();
    for (let i = 0; i < 100 && !streams.healthy(); i += 1) await sleep(50);
    expect(await shard.offer(0, 1, [])).toEqual({ outcome: 'empty' });
  });

  test('a start without a Redis says where it looked', async () => {
    await expect(makeStreams('127.0.0.1:1').start()).rejects.toThrow(/no Redis answers at redis:\/\/127/);
  });
});
