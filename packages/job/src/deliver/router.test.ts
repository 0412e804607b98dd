import { describe, expect, test } from '@jest/globals';
import type { ConnectionKey, NodeId, NodeRef, RoomId, UserId } from '@halley/protocol/ids';
import type { Route, RouteAnswer } from '@halley/store/routes/routes';
import { shardOf } from '@halley/store/shard';

import {
  merged,
  NO_ROUTES,
  queryFor,
  restFor,
  routePush,
  type EntryHint,
  type PushTargets,
  type RoutedTargets,
} from './router.js';

const user = (mid: string) => mid as UserId;
const key = (name: string) => name as ConnectionKey;
const room = (name: string) => name as RoomId;
const ref = (node: string, incarnation = 'i1'): NodeRef => ({ node: node as NodeId, incarnation });
const route = (mid: string, name: string, at: NodeRef): Route => ({
  mid: user(mid),
  key: key(name),
  at,
  owner: '',
  connectedAtMs: 0,
});
const push = (targets: Partial<PushTargets>, hints: readonly EntryHint[] = []): RoutedTargets => ({
  live: { users: [], keys: [], rooms: [], everyone: false, ...targets },
  hints,
});
const hint = (mid: string, keys: readonly string[] = []): EntryHint => ({
  to: { kind: 'user', mid: user(mid) },
  stream: `u/${mid}`,
  prev: 7,
  keys: keys.map(key),
});

/** Comets c1 and c2, in their incarnation i1. */
const comets = {
  find: ({ node, incarnation }: NodeRef) => (incarnation === 'i1' && node !== 'c9' ? node : undefined),
  everyone: () => ['c1', 'c2'] as NodeId[],
};
const answer: RouteAnswer = {
  users: new Map([[user('1'), [route('1', 'a', ref('c1')), route('1', 'b', ref('c2'))]]]),
  keys: new Map([
    [key('a'), route('1', 'a', ref('c1'))],
    [key('old'), route('2', 'old', ref('c1', 'i0'))],
  ]),
  rooms: new Map([[room('live://1'), [ref('c2'), ref('c9')]]]),
};

describe('routing a push', () => {
  test('a user with connections on two comets is sent to both, each with its own', () => {
    const { to, missing } = routePush(push({ users: [user('1')] }), answer, comets);
    expect(to).toEqual([
      { comet: 'c1', keys: ['a'], rooms: [], everyone: false, hints: [] },
      { comet: 'c2', keys: ['b'], rooms: [], everyone: false, hints: [] },
    ]);
    expect(missing).toEqual([]);
  });

  test('a connection named as user and as key, or twice, gets it once', () => {
    const { to } = routePush(
      push({ users: [user('1'), user('1')], keys: [key('a'), key('a')] }),
      answer,
      comets,
    );
    expect(to.map(({ keys }) => keys)).toEqual([['a'], ['b']]);
  });

  test('a room goes only to the comets that have members, and an unknown comet is reported', () => {
    const { to, missing } = routePush(push({ rooms: [room('live://1'), room('live://1')] }), answer, comets);
    expect(to).toEqual([{ comet: 'c2', keys: [], rooms: ['live://1'], everyone: false, hints: [] }]);
    expect(missing).toEqual([ref('c9')]);
  });

  test('a route of an earlier incarnation reaches nobody', () => {
    const { to, missing } = routePush(push({ keys: [key('old')] }), answer, comets);
    expect(to).toEqual([]);
    expect(missing).toEqual([ref('c1', 'i0')]);
  });

  test('everyone goes to every comet once, together with what else is asked of it', () => {
    const { to } = routePush(push({ everyone: true, keys: [key('a')] }), answer, comets);
    expect(to).toEqual([
      { comet: 'c1', keys: ['a'], rooms: [], everyone: true, hints: [] },
      { comet: 'c2', keys: [], rooms: [], everyone: true, hints: [] },
    ]);
  });

  test('a stream is told once to each comet with a device of the user, also where none of those is named', () => {
    const both: RouteAnswer = {
      ...answer,
      users: new Map([
        ...answer.users,
        [user('2'), [route('2', 'c', ref('c1')), route('2', 'd', ref('c1')), route('2', 'e', ref('c9'))]],
      ]),
    };
    const [one, two] = [hint('1', ['a']), hint('2')];
    const { to, missing } = routePush(push({}, [one, two]), both, comets);
    expect(to).toEqual([
      { comet: 'c1', keys: [], rooms: [], everyone: false, hints: [one, two] },
      { comet: 'c2', keys: [], rooms: [], everyone: false, hints: [one] },
    ]);
    expect(missing).toEqual([ref('c9')]);
  });

  test("a room's stream is told to the comets of the room, everyone's to all", () => {
    const ofRoom: EntryHint = {
      to: { kind: 'room', room: room('live://1') },
      stream: 'r/live://1',
      prev: 7,
      keys: [],
    };
    const ofAll: EntryHint = { to: { kind: 'everyone' }, stream: 'all', prev: 3, keys: [] };
    const { to, missing } = routePush(push({}, [ofRoom, ofAll]), answer, comets);
    expect(to).toEqual([
      { comet: 'c2', keys: [], rooms: [], everyone: false, hints: [ofRoom, ofAll] },
      { comet: 'c1', keys: [], rooms: [], everyone: false, hints: [ofAll] },
    ]);
    expect(missing).toEqual([ref('c9')]);
    expect(queryFor([push({}, [ofRoom, ofAll])])).toEqual({ users: [], keys: [], rooms: ['live://1'] });
  });

  test('one query names each target of many pushes once; none is made for everyone alone', () => {
    expect(
      queryFor([
        push({ users: [user('1')] }),
        push({ users: [user('1'), user('2')], rooms: [room('r')] }),
        push({ keys: [key('a')] }, [hint('2'), hint('3')]),
      ]),
    ).toEqual({ users: ['1', '2', '3'], keys: ['a'], rooms: ['r'] });
    expect(queryFor([push({ everyone: true })])).toBeUndefined();
  });
});

describe('routes that were read along with an append', () => {
  const shard = { partition: 1, shards: 2 };
  const of = (partition: number, prefix: string): string =>
    Array.from({ length: 50 }, (_, index) => `${index + 1}`).find(
      (name) => shardOf(`${prefix}${name}`, 2) === partition,
    )!;

  test('leave keys, and users and rooms of other shards', () => {
    const [here, there] = [of(1, 'u/'), of(0, 'u/')];
    const [near, far] = [of(1, 'r/'), of(0, 'r/')].map(room) as [RoomId, RoomId];
    const users = [user(here), user(there)];
    expect(restFor([push({ users, rooms: [near, far], keys: [key('k')] })], shard)).toEqual({
      users: [there],
      keys: ['k'],
      rooms: [far],
    });
    expect(restFor([push({ users: [user(here)], rooms: [near] }, [hint('1')])], shard)).toBeUndefined();
  });

  test('count beside those that were read after them', () => {
    const read: RouteAnswer = { ...NO_ROUTES, users: new Map([[user('2'), []]]) };
    expect([...merged(answer, read).users.keys()]).toEqual(['1', '2']);
    expect(merged(answer, read)).toMatchObject({ keys: answer.keys, rooms: answer.rooms });
    expect(merged(answer)).toBe(answer);
  });

  test('a user with several connections on a comet is told of there once', () => {
    const both = new Map([[user('1'), [route('1', 'a', ref('c1')), route('1', 'b', ref('c1'))]]]);
    const { to, missing } = routePush(push({}, [hint('1')]), { ...answer, users: both }, comets);
    expect(to).toEqual([{ comet: 'c1', keys: [], rooms: [], everyone: false, hints: [hint('1')] }]);
    expect(missing).toEqual([]);
  });
});
