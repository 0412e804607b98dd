import { describe, expect, test } from '@jest/globals';
import type { RoomId, UserId } from '@halley/protocol/ids';
import type { ReadRecord } from '@halley/store/bus/bus';
import { shardOf, streamOf } from '@halley/store/shard';

import { nextChunk } from './chunk.js';
import { recordCodec } from './push-record.js';

const SHARDS = 4;
/** Users whose streams are in a partition. */
const usersOf = (partition: number, count: number): UserId[] => {
  const users: UserId[] = [];
  for (let mid = 1; users.length < count; mid += 1) {
    const user = String(mid) as UserId;
    if (shardOf(streamOf.user(user), SHARDS) === partition) users.push(user);
  }
  return users;
};
const shard = { partition: 1, shards: SHARDS };
const [one, two] = usersOf(1, 2) as [UserId, UserId];
const [elsewhere] = usersOf(2, 1) as [UserId];
const rooms = Array.from({ length: 50 }, (_, index) => `chat://${index}` as RoomId);
const roomIn = (partition: number): RoomId =>
  rooms.find((room) => shardOf(streamOf.room(room), SHARDS) === partition)!;
const [here, there] = [roomIn(1), roomIn(2)];

const record = (offset: number, pushes: object[], timestampMs = 77): ReadRecord => ({
  offset,
  key: undefined,
  value: recordCodec.encode({ pushes }),
  headers: {},
  timestampMs,
});
/** The one push of a record, placed. */
const placed = (push: object) => nextChunk([record(3, [push])], shard)[0]!.pushes[0]!;

describe('what of a push is kept', () => {
  test('users and keys with an owner are kept in their streams, each stream once, all devices before some', () => {
    const { targets, live } = placed({
      users: [one],
      keys: ['a', 'b', 'c', 'b'],
      key_owners: [one, two, two, two],
      rooms: ['live://1'],
    });
    expect(targets).toEqual([
      { to: { kind: 'user', mid: one }, stream: `u/${one}`, keys: [] },
      { to: { kind: 'user', mid: two }, stream: `u/${two}`, keys: ['b', 'c'] },
    ]);
    expect(live).toEqual({ users: [], keys: [], rooms: ['live://1'], everyone: false });
  });

  test('keys of nobody, anonymous users and streams of other partitions are sent live only', () => {
    const { targets, live } = placed({
      users: ['0', elsewhere],
      keys: ['a', 'b', 'c'],
      key_owners: ['0', elsewhere],
    });
    expect(targets).toEqual([]);
    expect(live).toMatchObject({ users: ['0', elsewhere], keys: ['a', 'b', 'c'] });
  });

  test('nothing is kept of what was pushed to be dropped, to a room or to everyone', () => {
    expect(placed({ users: [one], class: 'CLASS_EPHEMERAL' })).toMatchObject({
      targets: [],
      live: { users: [one] },
    });
    for (const shared of [{ rooms: [here] }, { everyone: true }])
      for (const unsaid of [{ class: 'CLASS_EPHEMERAL' }, {}])
        expect(placed({ ...shared, ...unsaid })).toMatchObject({ targets: [], live: shared });
  });

  test('what is durable for a room, or for everyone, is kept in the stream of theirs', () => {
    const { targets, live } = placed({ rooms: [here, there, here], class: 'CLASS_DURABLE' });
    expect(targets).toEqual([{ to: { kind: 'room', room: here }, stream: `r/${here}`, keys: [] }]);
    expect(live).toEqual({ users: [], keys: [], rooms: [there], everyone: false });
    const everyone = { everyone: true, class: 'CLASS_DURABLE' };
    const ofAll = { partition: shardOf('all', SHARDS), shards: SHARDS };
    expect(nextChunk([record(3, [everyone])], ofAll)[0]!.pushes[0]).toMatchObject({
      targets: [{ to: { kind: 'everyone' }, stream: 'all', keys: [] }],
      live: { everyone: false },
    });
  });

  test('a push stands at its place in its record, and was accepted when the bus took it if nobody says', () => {
    const [item] = nextChunk([record(3, [{ users: [one], accepted_at_ms: 5 }, { users: [one] }])], shard);
    expect(item!.pushes.map(({ position, acceptedAtMs }) => [position, acceptedAtMs])).toEqual([
      [3 * 1_024, 5],
      [3 * 1_024 + 1, 77],
    ]);
  });
});

describe('what goes to the stores in one piece', () => {
  const offsets = (records: readonly ReadRecord[]) =>
    nextChunk(records, shard).map(({ read: { offset } }) => offset);
  const push = { users: [one] };

  test('is all that was polled', () => {
    expect(offsets([1, 2, 3].map((offset) => record(offset, [push])))).toEqual([1, 2, 3]);
    expect(offsets([])).toEqual([]);
  });

  test('ends with a record that cannot be decoded', () => {
    const bad = { ...record(2, []), value: Buffer.from([0xff, 0x07, 0x80]) };
    const chunk = nextChunk([record(1, [push]), bad, record(3, [push])], shard);
    expect(chunk.map(({ why }) => why?.reason)).toEqual([undefined, 'undecodable']);
  });

  test('is split when it holds very many pushes, targets or bytes, by whole records', () => {
    const many = Array.from({ length: 1_024 }, () => push);
    expect(offsets([1, 2, 3].map((offset) => record(offset, many)))).toEqual([1, 2]);
    const users = usersOf(1, 3_000);
    expect(offsets([1, 2, 3].map((offset) => record(offset, [{ users }])))).toEqual([1, 2]);
    const large = { ...push, body: Buffer.alloc(3_000_000) };
    expect(offsets([1, 2].map((offset) => record(offset, [large])))).toEqual([1]);
    expect(offsets([record(1, [{ ...push, body: Buffer.alloc(9_000_000) }])])).toEqual([1]);
  });
});
