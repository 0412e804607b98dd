import { setTimeout as sleep } from 'node:timers/promises';

import type { KickRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/KickRequest';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeId, NodeRef, UserId } from '@halley/protocol/ids';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { OpenVerifier } from '../auth/open.js';
import { logicMetrics } from '../metrics.js';
import type { Device, StreamStart } from '../streams/cursor.js';
import { Connector } from './connect.js';
import { disconnect } from './disconnect.js';
import { GoimSessions } from './goim-session.js';
import { Kicker } from './kick.js';

const at = (node: string, incarnation = '1'): NodeRef => ({ node: node as NodeId, incarnation });
const registry = new Metrics({ process: false });
const metrics = logicMetrics(registry);
let routes: EmbeddedRoutes;
let connector: Connector;
let kicker: Kicker;
let cursors: { open: (device: Device) => Promise<StreamStart> };
let opened: Device[];
let kicks: { node: string; request: KickRequest }[];
let failing: Set<string>;
let counter = 0;

const connect = (token: string, where: NodeRef) => {
  counter += 1;
  return connector.connect({ token: Buffer.from(token), at: where, counter });
};

const openMany = (devices: readonly Device[]) =>
  Promise.all(
    devices.map((device) => cursors.open(device).catch((error: unknown) => HalleyError.from(error))),
  );

beforeEach(() => {
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  kicks = [];
  failing = new Set();
  const comets = {
    kick: async ({ node }: NodeRef, request: KickRequest) => {
      if (failing.has(node)) throw new HalleyError('unavailable');
      kicks.push({ node, request });
      return request.targets?.length ?? 0;
    },
  };
  kicker = new Kicker({ comets, metrics, log: silentLogger() });
  opened = [];
  cursors = {
    open: async (device) => {
      opened.push(device);
      return { stream: `u/${device.mid}`, epoch: 'e', position: 7, kept: device.keyGiven, atEnd: true };
    },
  };
  connector = new Connector({
    verifier: new OpenVerifier(),
    routes,
    kicker,
    cursors: { openMany },
    metrics,
  });
});

describe('connect', () => {
  test('writes the route and generates a key where the token has none', async () => {
    const given = await connect('{"mid":1,"key":"k"}', at('a'));
    const generated = await connect('{"mid":1}', at('a'));
    expect(given.key).toBe('k');
    expect(generated.key).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    const found = (await routes.find({ users: ['1' as UserId] })).users.get('1' as UserId);
    const text = ({ key, owner }: { key: string; owner: string }) => `${key} ${owner}`;
    expect(found?.map(text).toSorted()).toEqual([given, generated].map(text).toSorted());
  });

  test('who has given up meanwhile gets no route: it may have asked again elsewhere', async () => {
    const { owner } = await connect('{"mid":1,"key":"k"}', at('a'));
    const token = Buffer.from('{"mid":1,"key":"k"}');
    const late = connector.connect({ token, at: at('b'), counter: 9, abandoned: () => true });
    await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
    const found = (await routes.find({ users: ['1' as UserId] })).users.get('1' as UserId);
    expect(found?.map((route) => route.owner)).toEqual([owner]);
    expect(kicks).toEqual([]);
  });

  test('nor does who had given up while the process stood still, which is seen a moment after the call', async () => {
    const { owner } = await connect('{"mid":1,"key":"k"}', at('a'));
    let gone = false;
    const token = Buffer.from('{"mid":1,"key":"k"}');
    setImmediate(() => {
      gone = true;
    });
    const late = connector.connect({ token, at: at('b'), counter: 9, abandoned: () => gone });
    await expect(late).rejects.toMatchObject({ code: 'deadline_exceeded' });
    const found = (await routes.find({ users: ['1' as UserId] })).users.get('1' as UserId);
    expect(found?.map((route) => route.owner)).toEqual([owner]);
  });

  test('a key that connects again on another comet is closed on the first, by its owner sequence', async () => {
    const first = await connect('{"mid":1,"key":"k"}', at('a'));
    await connect('{"mid":1,"key":"k"}', at('b'));
    expect(kicks).toEqual([
      {
        node: 'a',
        request: {
          comet_incarnation: '1',
          targets: [{ mid: '1', key: 'k', owner: first.owner }],
          code: 3503,
          reason: 'taken over',
        },
      },
    ]);
  });

  test('on the same comet nothing is asked of it; another start of it is another comet', async () => {
    await connect('{"mid":1,"key":"k"}', at('a'));
    await connect('{"mid":1,"key":"k"}', at('a'));
    expect(kicks).toEqual([]);
    await connect('{"mid":1,"key":"k"}', at('a', '2'));
    expect(kicks).toHaveLength(1);
  });

  test('an unreachable comet does not keep the new connection out', async () => {
    await connect('{"mid":1,"key":"k"}', at('a'));
    failing.add('a');
    await expect(connect('{"mid":1,"key":"k"}', at('b'))).resolves.toMatchObject({ key: 'k' });
  });

  test("another user's live key is not taken over", async () => {
    await connect('{"mid":1,"key":"k"}', at('a'));
    await expect(connect('{"mid":2,"key":"k"}', at('b'))).rejects.toMatchObject({ code: 'key_in_use' });
    expect(kicks).toEqual([]);
  });

  test('tells where the device goes on in the stream of its user, looked up once the route is written', async () => {
    let found = 0;
    const { open } = cursors;
    cursors.open = async (device) => {
      found = (await routes.find({ keys: [device.key] })).keys.size;
      return open(device);
    };
    const { start, owner } = await connect('{"mid":1,"key":"k"}', at('a'));
    expect(start).toEqual({ stream: 'u/1', epoch: 'e', position: 7, kept: true, atEnd: true });
    expect(opened).toEqual([{ mid: '1', key: 'k', owner, keyGiven: true, version2: undefined }]);
    expect(found).toBe(1);
  });

  test('only a key that the client gave, and a comet that keeps cursors, know the device again', async () => {
    expect((await connect('{"mid":1}', at('a'))).start?.kept).toBe(false);
    const token = Buffer.from('{"mid":1,"key":"k"}');
    const { start } = await connector.connect({ token, at: at('a'), counter: 99, withoutCursor: true });
    expect(start?.kept).toBe(false);
  });

  test('an anonymous connection has no stream', async () => {
    expect(await connect('{"key":"k"}', at('a'))).not.toHaveProperty('start');
    expect(opened).toEqual([]);
  });

  test('where the stream cannot be looked up nobody is let in, and the route goes', async () => {
    cursors.open = () => Promise.reject(new HalleyError('store_unavailable'));
    await expect(connect('{"mid":1,"key":"k"}', at('a'))).rejects.toMatchObject({
      code: 'store_unavailable',
    });
    expect((await routes.find({ keys: ['k' as ConnectionKey] })).keys.size).toBe(0);
  });

  test('a key is waited for a moment when its connection of another user is about to end', async () => {
    const first = await connect('{"mid":1,"key":"k"}', at('a'));
    const second = connect('{"mid":2,"key":"k"}', at('b'));
    await sleep(80);
    await routes.release({ mid: '1' as UserId, key: 'k' as ConnectionKey, owner: first.owner });
    expect((await second).token.mid).toBe('2');
  });

  test('those that come in one moment share the calls of the stores, and each has its own outcome', async () => {
    const calls: string[] = [];
    const claimMany = routes.claimMany.bind(routes);
    routes.claimMany = (claims) => {
      calls.push(`claim ${claims.map(({ key }) => key).join()}`);
      return claimMany(claims);
    };
    cursors.open = async ({ mid, key, owner }) => {
      calls.push(`open ${key}`);
      if (key === 'b') throw new HalleyError('store_unavailable');
      return { stream: `u/${mid}`, epoch: owner, position: 7, kept: true, atEnd: true };
    };
    const tokens = [
      '{"mid":1,"key":"a"}',
      'nonsense',
      '{"mid":1,"key":"b"}',
      '{"key":"c"}',
      '{"mid":2,"key":"d"}',
    ];
    const outcomes = await Promise.allSettled(tokens.map((token) => connect(token, at('a'))));
    expect(outcomes.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'fulfilled',
      'fulfilled',
    ]);
    expect(calls).toEqual(['claim a,b,c,d', 'open a', 'open b', 'open d']);
    const [a] = outcomes as { value: { owner: string; start?: StreamStart } }[];
    expect(a?.value.start?.epoch).toBe(a?.value.owner);
    const keys = ['a', 'b', 'c', 'd'] as ConnectionKey[];
    expect([...(await routes.find({ keys })).keys.keys()]).toEqual(['a', 'c', 'd']);
  });

  test('refusals are counted by reason', async () => {
    await expect(connect('nonsense', at('a'))).rejects.toMatchObject({ code: 'bad_token' });
    expect(await registry.registry.metrics()).toMatch(
      /halley_logic_auth_failures_total\{reason="bad_token"\} \d/,
    );
  });
});

describe('disconnect by a business', () => {
  test('closes all connections of users, one call a comet, and answers how many', async () => {
    await connect('{"mid":1,"key":"a"}', at('x'));
    await connect('{"mid":1,"key":"b"}', at('y'));
    await connect('{"mid":2,"key":"c"}', at('x'));
    await connect('{"mid":3,"key":"d"}', at('x'));
    const users = ['1', '2', '404'] as UserId[];
    expect(await disconnect({ users }, 'bye', { routes, kicker })).toBe(3);
    expect(kicks.map(({ node }) => node).toSorted()).toEqual(['x', 'y']);
    expect(kicks[0]?.request).toMatchObject({ code: 3007, reason: 'bye' });
  });

  test('closes single connections', async () => {
    await connect('{"mid":1,"key":"a"}', at('x'));
    const keys = ['a', 'unknown'] as ConnectionKey[];
    expect(await disconnect({ keys }, '', { routes, kicker })).toBe(1);
    expect(await disconnect({ keys: ['unknown' as ConnectionKey] }, '', { routes, kicker })).toBe(0);
  });

  test('a comet that does not answer is an error, and the others have closed theirs', async () => {
    await connect('{"mid":1,"key":"a"}', at('x'));
    await connect('{"mid":1,"key":"b"}', at('y'));
    failing.add('x');
    await expect(disconnect({ users: ['1' as UserId] }, '', { routes, kicker })).rejects.toMatchObject({
      code: 'unavailable',
    });
    expect(kicks.map(({ node }) => node)).toEqual(['y']);
  });
});

describe("goim's sessions, by server name", () => {
  const [mid, key] = ['7' as UserId, 'k' as ConnectionKey];
  const sessions = () =>
    new GoimSessions({ routes, comets: { nodes: () => [], onChange: () => () => undefined } });

  test('disconnect answers whether the route was there, and leaves one that is on another server', async () => {
    await connect('{"mid":7,"key":"k"}', at('a'));
    expect(await sessions().disconnect(mid, key, 'b')).toBe(false);
    expect(await sessions().disconnect('8' as UserId, key, 'a')).toBe(false);
    expect(await sessions().disconnect(mid, key, 'a')).toBe(true);
    expect(await sessions().disconnect(mid, key, 'a')).toBe(false);
  });

  test('a heartbeat writes a route that is gone, and keeps the owner of one that is there', async () => {
    await sessions().heartbeat(mid, key, 'a');
    const route = (await routes.find({ keys: [key] })).keys.get(key);
    expect(route?.at.node).toBe('a');
    await sessions().heartbeat(mid, key, 'a');
    expect((await routes.find({ keys: [key] })).keys.get(key)?.owner).toBe(route?.owner);
  });
});
