import type { SessionRoute__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionRoute';
import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, NodeId, UserId } from '@halley/protocol/ids';
import { systemClock } from '@halley/service/clock';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { CURSOR_TTL_MS, Cursors } from '../streams/cursor.js';
import { EPOCH, type FilledStores, filledStores, SHARDS } from '../testing/filled-stores.js';
import { Online } from './online.js';
import { renew } from './renew.js';

const comet = { node: 'a', incarnation: '1' };
let stores: FilledStores;
let routes: EmbeddedRoutes;
let cursors: Cursors;

const session = (fields: Partial<SessionRoute__Output> = {}): SessionRoute__Output => ({
  mid: '1',
  key: 'phone',
  owner: '5',
  cursor: null,
  wants_newest: false,
  acknowledged: false,
  moved: false,
  ...fields,
});
const cursor = (position: number, stream = 'u/1') => ({ stream, epoch: EPOCH, position: String(position) });
const call = (...sessions: SessionRoute__Output[]) => renewing(sessions);
const renewing = (sessions: SessionRoute__Output[], streams: string[] = []) =>
  renew(
    { comet, sessions, rooms: [], online: null, streams },
    { routes, cursors, online: new Online({ routes, clock: systemClock }), routeLeaseMs: 60_000 },
  );
const saved = async () => (await stores.streams.cursors('u/1')).get('phone' as ConnectionKey);

beforeEach(async () => {
  stores = await filledStores();
  routes = new EmbeddedRoutes({ leaseMs: 60_000 });
  const { streams, archive } = stores;
  cursors = new Cursors({
    streams,
    archive,
    shards: SHARDS,
    epoch: () => EPOCH,
    acknowledgedTtlMs: 7_000_000,
    clock: systemClock,
  });
});
afterEach(() => stores.stop());

test('newest positions are told to the sessions that want them, in their order', async () => {
  await stores.append('u/1', [3], 9);
  await stores.append('u/2', [10, 12], 20);
  const { newest } = await call(
    session({ mid: '2', key: 'b', wants_newest: true }),
    session({ wants_newest: false }),
    session({ mid: '3', key: 'c', wants_newest: true }),
    session({ key: 'd', wants_newest: true }),
    session({ key: 'e', wants_newest: true }),
  );
  expect(newest).toEqual([12, -1, 3, 3]);
  expect((await call(session())).newest).toEqual([]);
});

test('newest positions of rooms are told too, in their order', async () => {
  await stores.append('u/1', [3], 9);
  await stores.append('r/chat://1', [10, 12], 20);
  const reply = await renewing([session({ wants_newest: true })], ['all', 'r/chat://1', 'u/1']);
  expect(reply).toMatchObject({ newest: [3], streams_newest: [-1, 12, 3] });
});

test('newest positions are looked up once the routes are written: what comes later finds the route', async () => {
  const written: number[] = [];
  const newest = stores.streams.newest.bind(stores.streams);
  stores.streams.newest = async (streams) => {
    written.push((await routes.find({ users: ['1' as UserId] })).users.get('1' as UserId)?.length ?? 0);
    return newest(streams);
  };
  const renewed = routes.renew.bind(routes);
  routes.renew = async (renewal) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return renewed(renewal);
  };
  await call(session({ wants_newest: true }));
  expect(written).toEqual([1]);
});

test('cursors go forward, and those of a connection that was taken over change nothing', async () => {
  const claim = (counter: number) =>
    routes.claim({
      mid: '1' as UserId,
      key: 'phone' as ConnectionKey,
      at: { ...comet, node: 'a' as NodeId },
      counter,
    });
  const { owner: first } = await claim(1);
  await call(session({ owner: first, cursor: cursor(5) }));
  expect(await saved()).toEqual({ epoch: EPOCH, position: 5 });
  await call(session({ owner: first, cursor: cursor(4) }));
  expect((await saved())?.position).toBe(5);

  const { owner: second } = await claim(2);
  await cursors.open({ mid: '1' as UserId, key: 'phone' as ConnectionKey, owner: second, keyGiven: true });
  const { superseded } = await call(session({ owner: first, cursor: cursor(90) }));
  expect(superseded).toMatchObject([{ key: 'phone', owner: first }]);
  expect((await saved())?.position).toBe(5);
  await call(session({ owner: second, cursor: cursor(6) }));
  expect((await saved())?.position).toBe(6);
});

test('a cursor that a client acknowledged is kept as long as messages are', async () => {
  const kept: number[] = [];
  stores.streams.saveCursors = async (writes) => void kept.push(...writes.map(({ ttlMs }) => ttlMs));
  await call(session({ cursor: cursor(5) }), session({ cursor: cursor(6), acknowledged: true }));
  expect(kept).toEqual([CURSOR_TTL_MS, 7_000_000]);
});

test('where a store is away the renewal fails, and is repeated by its comet', async () => {
  stores.streams.newest = () => Promise.reject(new HalleyError('store_unavailable'));
  await expect(call(session({ wants_newest: true }))).rejects.toMatchObject({ code: 'store_unavailable' });
});
