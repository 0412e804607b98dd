import { setTimeout as sleep } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import { silentLogger } from '@halley/service/log';
import { startRedis } from '@halley/services/redis';
import type { RunningService } from '@halley/services/running-service';
import { routesConfig } from '@halley/store/routes/config';
import { routesContract } from '../../packages/store/src/routes/contract.js';
import { RedisRoutes } from '@halley/store/routes/redis';
import { Redis } from 'ioredis';

const LEASE_MS = 1_500;

function makeRoutes(url: string, keyPrefix = '', commandTimeoutMs = 1_000): RedisRoutes {
  const config = routesConfig.parse({ url, keyPrefix, leaseMs: LEASE_MS, commandTimeoutMs });
  return new RedisRoutes({ config, shards: 24, log: silentLogger() });
}

routesContract('Redis', async () => {
  const url = `redis://${process.env['HALLEY_TEST_REDIS']}`;
  const keyPrefix = `contract-${process.pid}:`;
  const routes = makeRoutes(url, keyPrefix, 5_000);
  await routes.start();
  return {
    routes,
    leaseMs: LEASE_MS,
    pass: (ms) => sleep(ms),
    empty: async () => {
      const redis = new Redis(url);
      const keys = await redis.keys(`${keyPrefix}*`);
      if (keys.length > 0) await redis.del(keys);
      redis.disconnect();
    },
  };
});

test('routes that a dead comet left behind do not pile up for a user who always has a connection', async () => {
  const url = `redis://${process.env['HALLEY_TEST_REDIS']}`;
  const keyPrefix = `left-${process.pid}:`;
  const routes = makeRoutes(url, keyPrefix);
  await routes.start();
  const redis = new Redis(url);
  const mid = '1' as UserId;
  const at = { node: 'n:1' as NodeId, incarnation: 'i' };
  const claim = (key: string, counter: number) =>
    routes.claim({ mid, key: key as ConnectionKey, at, counter });
  for (let i = 0; i < 200; i += 1) await claim(`left-${i}`, i);
  const { owner } = await claim('stays', 200);
  for (let waited = 0; waited < LEASE_MS + 200; waited += 500) {
    await sleep(500);
    await routes.renew({ at, sessions: [{ mid, key: 'stays' as ConnectionKey, owner }], rooms: [] });
  }
  for (let i = 0; i < 100; i += 1) await claim('comes', 201 + i);
  const [hash = ''] = (await redis.keys(`${keyPrefix}*:u:1`)).values();
  expect(await redis.hlen(hash)).toBeLessThan(20);
  const found = (await routes.find({ users: [mid] })).users.get(mid);
  expect(found?.map(({ key }) => key).toSorted()).toEqual(['comes', 'stays']);
  redis.disconnect();
  await routes.stop();
});

describe('routes on a Redis that goes away', () => {
  let redis: RunningService;
  let routes: RedisRoutes;

  beforeAll(async () => {
    redis = await startRedis();
    routes = makeRoutes(`redis://${redis.address}`);
    await routes.start();
  });
  afterAll(async () => {
    await routes.stop();
    await redis.stop();
  });

  test('fails at once instead of queueing, and serves again, empty, when it is back', async () => {
    const mid = '1' as UserId;
    const claim = {
      mid,
      key: 'k' as ConnectionKey,
      at: { node: 'n:1' as NodeId, incarnation: 'i' },
      counter: 1,
    };
    await routes.claim(claim);
    await redis.kill();
    await expect(routes.find({ users: [mid] })).rejects.toMatchObject({ code: 'store_unavailable' });
    // The command can fail a moment before the connection is seen to end.
    for (let i = 0; i < 100 && routes.healthy(); i += 1) await sleep(10);
    expect(routes.healthy()).toBe(false);
    await redis.restart();
    for (let i = 0; i < 100 && !routes.healthy(); i += 1) await sleep(50);
    expect((await routes.find({ users: [mid] })).users.size).toBe(0);
    await routes.claim({ ...claim, counter: 2 });
    expect((await routes.find({ users: [mid] })).users.size).toBe(1);
  });

  test('says of a Redis that hangs that it is away, and serves again when it goes on', async () => {
    redis.pause();
    for (let i = 0; i < 100 && routes.healthy(); i += 1) await sleep(50);
    expect(routes.healthy()).toBe(false);
    redis.resume();
    for (let i = 0; i < 200 && !routes.healthy(); i += 1) await sleep(50);
    expect(routes.healthy()).toBe(true);
    expect((await routes.find({ users: ['1' as UserId] })).users.size).toBeLessThanOrEqual(1);
  });

  test('a start without a Redis says where it looked', async () => {
    const lost = makeRoutes('redis://user:secret@127.0.0.1:1');
    await expect(lost.start()).rejects.toThrow(/no Redis answers at redis:\/\/127\.0\.0\.1:1/);
  });
});
