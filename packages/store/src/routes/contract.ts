import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { ConnectionKey, NodeId, NodeRef, RoomId, UserId } from '@halley/protocol/ids';

import type { Routes } from './routes.js';

export interface RoutesHarness {
  /** Started, with a lease of `leaseMs`. */
  readonly routes: Routes;
  readonly leaseMs: number;
  /** Lets time pass. */
  pass(ms: number): Promise<void>;
  /** Empties the store, as a restart without persistence; absent where that cannot happen. */
  empty?(): Promise<void>;
}

/** What every route store does. */
export function routesContract(adapter: string, makeHarness: () => Promise<RoutesHarness>): void {
  describe(`routes on ${adapter}`, () => {
    let harness: RoutesHarness;
    let routes: Routes;
    let counter = 0;
    const unique = Math.random().toString(36).slice(2);
    const user = (): UserId =>
      String(9_007_199_254_740_993n + BigInt(Math.floor(Math.random() * 1e15))) as UserId;
    const key = (): ConnectionKey => `key ${unique} ${(counter += 1)} ü` as ConnectionKey;
    const room = (): RoomId => `live://${unique}/${(counter += 1)}` as RoomId;
    const node = (name = `comet-${(counter += 1)}:3109`, incarnation = 'i1'): NodeRef => ({
      node: name as NodeId,
      incarnation,
    });
    const claim = (mid: UserId, k: ConnectionKey, at: NodeRef) =>
      routes.claim({ mid, key: k, at, counter: (counter += 1) });

    beforeAll(async () => {
      harness = await makeHarness();
      routes = harness.routes;
    });
    afterAll(() => routes.stop(1_000));

    test('finds a claimed route by user and by key, with the exact 64-bit id', async () => {
      const [mid, k, at] = [user(), key(), node()];
      const { owner, displaced } = await claim(mid, k, at);
      expect(displaced).toBeUndefined();
      const found = await routes.find({ users: [mid], keys: [k] });
      expect(found.users.get(mid)).toEqual([{ mid, key: k, at, owner, connectedAtMs: expect.any(Number) }]);
      expect(found.keys.get(k)?.at).toEqual(at);
    });

    test('finds all devices of a user', async () => {
      const [mid, k1, k2] = [user(), key(), key()];
      await claim(mid, k1, node());
      await claim(mid, k2, node());
      const found = await routes.find({ users: [mid] });
      expect(new Set(found.users.get(mid)?.map((route) => route.key))).toEqual(new Set([k1, k2]));
    });

    test('leaves out users, keys and rooms that it does not know', async () => {
      const found = await routes.find({ users: [user()], keys: [key()], rooms: [room()] });
      expect([found.users.size, found.keys.size, found.rooms.size]).toEqual([0, 0, 0]);
    });

    test('names the connection that a second claim of the key displaces', async () => {
      const [mid, k, first, second] = [user(), key(), node(), node()];
      const one = await claim(mid, k, first);
      const two = await claim(mid, k, second);
      expect(two.displaced).toMatchObject({ mid, key: k, at: first, owner: one.owner });
      expect(two.owner > one.owner).toBe(true);
      expect((await routes.find({ keys: [k] })).keys.get(k)?.at).toEqual(second);
    });

    test('a claim that comes behind one of a later connection of the same comet changes nothing', async () => {
      const [mid, k, at] = [user(), key(), node()];
      const later = await routes.claim({ mid, key: k, at, counter: 12 });
      const late = await routes.claim({ mid, key: k, at, counter: 9 });
      expect(late.displaced).toBeUndefined();
      expect(late.owner < later.owner).toBe(true);
      expect((await routes.find({ keys: [k] })).keys.get(k)?.owner).toBe(later.owner);
      expect(await routes.release({ mid, key: k, owner: late.owner })).toBe(false);
      const again = await routes.claim({ mid, key: k, at, counter: 13 });
      expect(again.displaced?.owner).toBe(later.owner);
    });

    test('a claim that comes a second time changes nothing: nobody is displaced, and the owner is the same', async () => {
      const [mid, k, at] = [user(), key(), node()];
      const first = await routes.claim({ mid, key: k, at, counter: 12 });
      const second = await routes.claim({ mid, key: k, at, counter: 12 });
      expect(second).toEqual(first);
      const session = { mid, key: k, owner: first.owner };
      expect((await routes.renew({ at, sessions: [session], rooms: [] })).superseded).toEqual([]);
      // That of another comet is another connection, whatever its count.
      const elsewhere = await routes.claim({ mid, key: k, at: node(), counter: 12 });
      expect(elsewhere.displaced?.owner).toBe(first.owner);
    });

    test('of claims without a counter the last one wins, also over one with', async () => {
      const [mid, k, at] = [user(), key(), node()];
      await routes.claim({ mid, key: k, at, counter: 12 });
      const { owner } = await routes.claim({ mid, key: k, at, counter: 0 });
      const last = await routes.claim({ mid, key: k, at, counter: 0 });
      expect(last.displaced?.owner).toBe(owner);
      expect((await routes.find({ keys: [k] })).keys.get(k)?.owner).toBe(last.owner);
    });

    test('an older owner neither releases nor renews a route that was taken over', async () => {
      const [mid, k, first, second] = [user(), key(), node(), node()];
      const one = await claim(mid, k, first);
      const two = await claim(mid, k, second);
      expect(await routes.release({ mid, key: k, owner: one.owner })).toBe(false);
      const renewed = await routes.renew({
        at: first,
        sessions: [{ mid, key: k, owner: one.owner }],
        rooms: [],
      });
      expect(renewed.superseded).toEqual([{ mid, key: k, owner: one.owner }]);
      expect((await routes.find({ keys: [k] })).keys.get(k)).toMatchObject({ at: second, owner: two.owner });
    });

    test('refuses a key that belongs to the live connection of another user', async () => {
      const k = key();
      await claim(user(), k, node());
      await expect(claim(user(), k, node())).rejects.toMatchObject({ code: 'key_in_use' });
    });

    test('gives a key to another user once it was released, and then knows its new owner', async () => {
      const [one, two, k] = [user(), user(), key()];
      const { owner } = await claim(one, k, node());
      expect(await routes.release({ mid: one, key: k, owner })).toBe(true);
      expect((await routes.owners([k])).get(k)).toBe(one);
      await claim(two, k, node());
      expect((await routes.owners([k])).get(k)).toBe(two);
    });

    test('serves many claims at once, each for itself and in their order', async () => {
      const [one, two, a, b, taken, at] = [user(), user(), key(), key(), key(), node()];
      await claim(user(), taken, node());
      const before = await claim(one, a, node());
      const next = (mid: UserId, k: ConnectionKey) => ({ mid, key: k, at, counter: (counter += 1) });
      const claims = [
        next(one, a),
        next(two, taken),
        next(two, b),
        next(one, b),
        next(one, a),
        next('0' as UserId, key()),
      ];
      const outcomes = await routes.claimMany(claims);
      expect(outcomes[0]).toMatchObject({ displaced: { mid: one, key: a, owner: before.owner } });
      expect(outcomes[1]).toMatchObject({ code: 'key_in_use' });
      expect(outcomes[2]).toEqual({ owner: expect.any(String) });
      // Of two users the one that comes first has the key; of one user the later connection.
      expect(outcomes[3]).toMatchObject({ code: 'key_in_use' });
      expect(outcomes[4]).toMatchObject({ displaced: { key: a, at } });
      const keys = claims.map((one) => one.key);
      const found = (await routes.find({ keys })).keys;
      expect(keys.map((k) => found.get(k)?.mid)).toEqual([one, found.get(taken)?.mid, two, two, one, '0']);
      const [last, anonymous] = [outcomes[4], outcomes[5]] as { owner: string }[];
      expect([found.get(a)?.owner, found.get(keys[5]!)?.owner]).toEqual([last?.owner, anonymous?.owner]);
      expect((await routes.find({ users: [one] })).users.get(one)).toHaveLength(1);
      expect(await routes.claimMany([])).toEqual([]);
    });

    test('releases many at once, each where it still belongs to its owner', async () => {
      const [mid, a, b, at] = [user(), key(), key(), node()];
      const [one, two] = [await claim(mid, a, at), await claim(mid, b, at)];
      const newer = await claim(mid, a, node());
      const sessions = [
        { mid, key: a, owner: one.owner },
        { mid, key: b, owner: two.owner },
        { mid, key: key(), owner: one.owner },
      ];
      expect(await routes.releaseMany(sessions)).toEqual([false, true, false]);
      const found = (await routes.find({ users: [mid] })).users.get(mid);
      expect(found?.map(({ owner }) => owner)).toEqual([newer.owner]);
      expect((await routes.owners([b])).get(b)).toBe(mid);
      expect(await routes.releaseMany([])).toEqual([]);
    });

    test('anonymous connections are found by key, never by user', async () => {
      const [k, at] = [key(), node()];
      const { owner } = await claim('0' as UserId, k, at);
      const found = await routes.find({ users: ['0' as UserId], keys: [k] });
      expect(found.users.size).toBe(0);
      expect(found.keys.get(k)?.at).toEqual(at);
      expect(
        (await routes.renew({ at, sessions: [{ mid: '0' as UserId, key: k, owner }], rooms: [] })).superseded,
      ).toEqual([]);
      expect(await routes.release({ mid: '0' as UserId, key: k, owner })).toBe(true);
      expect((await routes.find({ keys: [k] })).keys.size).toBe(0);
    });

    test('forgets a route whose lease ran out, but not whose key it was', async () => {
      const [mid, k] = [user(), key()];
      await claim(mid, k, node());
      await harness.pass(harness.leaseMs + 100);
      const found = await routes.find({ users: [mid], keys: [k] });
      expect([found.users.size, found.keys.size]).toEqual([0, 0]);
      expect((await routes.owners([k])).get(k)).toBe(mid);
    });

    test('a renewed lease holds, and one that ran out is written again', async () => {
      const [mid, k, at, r] = [user(), key(), node(), room()];
      const { owner } = await claim(mid, k, at);
      await harness.pass(harness.leaseMs * 0.6);
      await routes.renew({ at, sessions: [{ mid, key: k, owner }], rooms: [r] });
      await harness.pass(harness.leaseMs * 0.6);
      expect((await routes.find({ users: [mid], rooms: [r] })).users.get(mid)).toHaveLength(1);
      await harness.pass(harness.leaseMs + 100);
      await routes.renew({ at, sessions: [{ mid, key: k, owner }], rooms: [r] });
      const found = await routes.find({ users: [mid], rooms: [r] });
      expect(found.users.get(mid)).toHaveLength(1);
      expect(found.rooms.get(r)).toEqual([at]);
    });

    test('names every node that has members in a room, until it leaves or its lease runs out', async () => {
      const [r, one, two] = [room(), node(), node()];
      await routes.enterRoom(r, one);
      await routes.enterRoom(r, two);
      await routes.enterRoom(r, two);
      const names = (nodes?: readonly NodeRef[]) => new Set(nodes?.map((at) => at.node));
      expect(names((await routes.find({ rooms: [r] })).rooms.get(r))).toEqual(new Set([one.node, two.node]));
      await routes.leaveRoom(r, one);
      expect(names((await routes.find({ rooms: [r] })).rooms.get(r))).toEqual(new Set([two.node]));
      await harness.pass(harness.leaseMs + 100);
      expect((await routes.find({ rooms: [r] })).rooms.size).toBe(0);
    });

    test('tells the incarnations of a node apart', async () => {
      const r = room();
      const [before, after] = [node('same:1', 'i1'), node('same:1', 'i2')];
      await routes.enterRoom(r, before);
      await routes.enterRoom(r, after);
      await routes.leaveRoom(r, before);
      expect((await routes.find({ rooms: [r] })).rooms.get(r)).toEqual([after]);
    });

    test('sums online figures over the nodes, without empty rooms, and drops a node with its figures', async () => {
      const [r1, r2, one, two] = [room(), room(), node().node, node().node];
      await routes.putOnline(
        one,
        new Map([
          [r1, 2],
          [r2, 0],
        ]),
        60_000,
      );
      await routes.putOnline(two, new Map([[r1, 3]]), 60_000);
      let online = await routes.online();
      expect([online.get(r1), online.has(r2)]).toEqual([5, false]);
      await routes.putOnline(one, new Map([[r2, 1]]), 60_000);
      await routes.dropOnline(two);
      online = await routes.online();
      expect([online.has(r1), online.get(r2)]).toEqual([false, 1]);
      await routes.dropOnline(one);
    });

    test('online figures that are not renewed stop counting', async () => {
      const [r, at] = [room(), node().node];
      await routes.putOnline(at, new Map([[r, 2]]), 100);
      await harness.pass(200);
      expect((await routes.online()).has(r)).toBe(false);
    });

    test('serves a thousand routes in one query and one renewal', async () => {
      const at = node();
      const users = Array.from({ length: 1_000 }, user);
      const sessions = await Promise.all(
        users.map(async (mid) => {
          const k = key();
          return { mid, key: k, owner: (await claim(mid, k, at)).owner };
        }),
      );
      expect((await routes.renew({ at, sessions, rooms: [] })).superseded).toEqual([]);
      const found = await routes.find({ users, keys: sessions.map((session) => session.key) });
      expect([found.users.size, found.keys.size]).toEqual([1_000, 1_000]);
    });

    test('keeps its generation, and has another after it was emptied, when a renewal writes everything again', async () => {
      const [mid, k, at, r] = [user(), key(), node(), room()];
      const { owner } = await claim(mid, k, at);
      const renewal = { at, sessions: [{ mid, key: k, owner }], rooms: [r] };
      const { generation } = await routes.renew(renewal);
      expect((await routes.renew({ at, sessions: [], rooms: [] })).generation).toBe(generation);
      if (!harness.empty) return;
      await harness.empty();
      const renewed = await routes.renew(renewal);
      expect(renewed.generation).not.toBe(generation);
      const found = await routes.find({ users: [mid], keys: [k], rooms: [r] });
      expect([found.users.get(mid)?.[0]?.owner, found.keys.size, found.rooms.get(r)]).toEqual([
        owner,
        1,
        [at],
      ]);
    });
  });
}
