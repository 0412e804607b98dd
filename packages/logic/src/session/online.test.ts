import type { NodeId, RoomId } from '@halley/protocol/ids';
import { HalleyError } from '@halley/protocol/error';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { beforeEach, describe, expect, test } from '@jest/globals';

import { Online } from './online.js';

let nowMs = 0;
const clock = { now: () => nowMs, monotonicMs: () => nowMs };
let routes: EmbeddedRoutes;
let online: Online;
let loads = 0;
const node = (name: string) => name as NodeId;
const total = async (room: string) => (await online.totals()).get(room as RoomId);

beforeEach(() => {
  nowMs = 100_000;
  loads = 0;
  routes = new EmbeddedRoutes({ leaseMs: 60_000, clock });
  const load = routes.online.bind(routes);
  routes.online = () => {
    loads += 1;
    return load();
  };
  online = new Online({ routes, clock });
});

describe('members of rooms over the cluster', () => {
  test('are the sum over the comets, and hold at once what was put', async () => {
    await online.put(node('a'), { r: 3, empty: 0 });
    expect(await total('r')).toBe(3);
    nowMs += 100;
    await online.put(node('b'), { r: 4 });
    expect(await total('r')).toBe(7);
    expect(await total('empty')).toBeUndefined();
  });

  test('a later figure replaces an earlier one, so that emptied rooms disappear', async () => {
    await online.put(node('a'), { r: 3, s: 1 });
    expect(await total('s')).toBe(1);
    nowMs += 100;
    await online.put(node('a'), { r: 2 });
    expect(await total('r')).toBe(2);
    expect(await total('s')).toBeUndefined();
  });

  test('figures of a comet that left or went silent vanish', async () => {
    await online.put(node('a'), { r: 3 });
    await online.put(node('b'), { r: 4 });
    await online.drop(node('a'));
    expect(await total('r')).toBe(4);
    nowMs += 30_001;
    expect(await total('r')).toBeUndefined();
  });

  test('are read from the store at most once a second, however often they are asked for', async () => {
    await online.put(node('a'), { r: 3 });
    await Promise.all(Array.from({ length: 100 }, () => total('r')));
    nowMs += 900;
    await total('r');
    expect(loads).toBe(1);
    nowMs += 101;
    await total('r');
    expect(loads).toBe(2);
  });

  test('a load that began before a put is not taken for it', async () => {
    await online.put(node('a'), { r: 1 });
    let release: (() => void) | undefined;
    const load = routes.online.bind(routes);
    routes.online = () =>
      load().then(async (totals) => {
        await new Promise<void>((resolve) => (release = resolve));
        return totals;
      });
    const before = total('r');
    while (!release) await new Promise((resolve) => setImmediate(resolve));
    nowMs += 100;
    await online.put(node('a'), { r: 2 });
    const after = total('r');
    routes.online = load;
    release();
    expect(await before).toBe(1);
    expect(await after).toBe(2);
  });

  test('an unreachable store is told, and asked again', async () => {
    const load = routes.online.bind(routes);
    routes.online = () => Promise.reject(new HalleyError('store_unavailable'));
    await expect(online.totals()).rejects.toMatchObject({ code: 'store_unavailable' });
    routes.online = load;
    expect((await online.totals()).size).toBe(0);
  });
});
