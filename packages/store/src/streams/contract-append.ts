import type { UserId } from '@halley/protocol/ids';
import { describe, expect, test } from '@jest/globals';

import { key, type ShardFixture, type StreamsHarness } from './contract-fixture.js';
import { BEFORE_ALL, ID_LIFETIME_MS } from './streams.js';

/** What appending does. */
export function appendContract(harness: () => StreamsHarness, fixture: () => ShardFixture): void {
  describe('append', () => {
    test('answers entries in the order of pushes and targets, each with the one before it in its stream', async () => {
      const shard = await fixture().begin();
      const [a, b] = [shard.stream(), shard.stream()];
      const first = await shard.append([shard.push(0, [a]), shard.push(1, [b, a]), shard.push(1_024, [a])]);
      expect(first).toMatchObject({ applied: 1_024, repeated: [], known: [] });
      expect(first.entries).toEqual([
        { stream: a, position: 0, prev: BEFORE_ALL },
        { stream: b, position: 1, prev: BEFORE_ALL },
        { stream: a, position: 1, prev: 0 },
        { stream: a, position: 1_024, prev: 1 },
      ]);
      const second = await shard.append([shard.push(2_048, [b, a])]);
      expect(second.entries).toEqual([
        { stream: b, position: 2_048, prev: 1 },
        { stream: a, position: 2_048, prev: 1_024 },
      ]);
      expect((await shard.read(a)).entries.map(({ position, prev }) => [position, prev])).toEqual([
        [0, BEFORE_ALL],
        [1, 0],
        [1_024, 1],
        [2_048, 1_024],
      ]);
    });

    test('the first entry of a stream follows what is trimmed', async () => {
      const shard = await fixture().begin(5_000);
      const [a, b] = [shard.stream(), shard.stream()];
      expect((await shard.append([shard.push(6_000, [a])])).entries[0]).toMatchObject({ prev: 5_000 });
      await shard.trim(6_000);
      const { entries } = await shard.append([shard.push(7_000, [a, b])]);
      expect(entries).toEqual([
        { stream: a, position: 7_000, prev: 6_000 },
        { stream: b, position: 7_000, prev: 6_000 },
      ]);
    });

    test('keeps everything of a push', async () => {
      const shard = await fixture().begin();
      const [one, many] = [shard.stream(), shard.stream()];
      const fields = {
        id: 'ünïque',
        operation: -7,
        body: Buffer.from([0, 10, 13, 58, 255, 128]),
        acceptedAtMs: harness().now() - 5,
        expireAtMs: 1_900_000_000_123,
        traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
        caller: 'the “orders” service',
      };
      const keys = [key('web ü'), key(''), key('a:b\nc')];
      await shard.append([
        shard.push(7, [{ stream: one, keys }], fields),
        shard.push(8, [one, { stream: many, keys }], {
          ...fields,
          id: 'other',
          body: Buffer.alloc(5_000, 3),
        }),
      ]);
      const [small, large] = (await shard.read(one)).entries;
      expect(small).toEqual({ ...fields, id: shard.id(fields.id), position: 7, prev: BEFORE_ALL, keys });
      const shared = { ...fields, id: shard.id('other'), body: Buffer.alloc(5_000, 3), position: 8 };
      expect(large).toEqual({ ...shared, prev: 7, keys: [] });
      expect((await shard.read(many)).entries).toEqual([{ ...shared, prev: BEFORE_ALL, keys }]);
    });

    test('keeps who sent it, of a message of a client and of no other', async () => {
      const shard = await fixture().begin();
      const [one, many] = [shard.stream(), shard.stream()];
      const sender = {
        mid: '-9223372036854775808' as UserId,
        key: key('web ü'),
        clientId: 'c:1\n',
        toMid: '9007199254740993' as UserId,
      };
      const inRoom = { ...sender, clientId: '', toMid: '0' as UserId };
      await shard.append([
        shard.push(1, [one], { sender }),
        shard.push(2, [one]),
        shard.push(3, [one, many], { sender: inRoom, body: Buffer.alloc(5_000, 3) }),
        shard.push(4, [one], { sender, body: Buffer.alloc(0) }),
      ]);
      const { entries } = await shard.read(one);
      expect(entries.map((entry) => entry.sender)).toEqual([sender, undefined, inRoom, sender]);
      expect('sender' in entries[1]!).toBe(false);
      expect(entries.map(({ body }) => body.byteLength)).toEqual([9, 9, 5_000, 0]);
      expect((await shard.read(many)).entries).toMatchObject([{ sender: inRoom }]);
      const scanned = (await shard.scan()).entries.map(({ entry }) => entry.sender?.clientId);
      expect(scanned).toEqual([sender.clientId, undefined, '', '', sender.clientId]);
    });

    test('a stream that a push names twice gets one entry, for the devices of both', async () => {
      const shard = await fixture().begin();
      const [a, b] = [shard.stream(), shard.stream()];
      const { entries } = await shard.append([
        shard.push(0, [
          { stream: a, keys: [key('1')] },
          b,
          { stream: a, keys: [key('1'), key('2')] },
          { stream: b, keys: [key('1')] },
        ]),
      ]);
      expect(entries.map(({ stream }) => stream)).toEqual([a, b]);
      expect((await shard.read(a)).entries[0]!.keys).toEqual(['1', '2']);
      expect((await shard.read(b)).entries[0]!.keys).toEqual([]);
    });

    test('a batch without anything durable moves applied all the same', async () => {
      const shard = await fixture().begin();
      expect(await shard.append([], 4_095)).toMatchObject({ applied: 4_095, entries: [] });
      expect(await shard.state()).toEqual({ applied: 4_095, trimmed: BEFORE_ALL });
    });

    test('positions and user ids are exact beyond 32 bits', async () => {
      const at = 2 ** 53 - 4_096;
      const shard = await fixture().begin(at);
      const stream = shard.stream();
      await shard.append([shard.push(at + 1, [stream]), shard.push(at + 2, [stream])]);
      expect(await shard.positions(stream)).toEqual([at + 1, at + 2]);
      expect(await shard.positions(stream, at + 1)).toEqual([at + 2]);
      expect(await shard.newest(stream)).toBe(at + 2);
      expect((await shard.scan()).entries.map((row) => row.stream)).toEqual([stream, stream]);
      await shard.trim(at + 1);
      expect(await shard.state()).toEqual({ applied: at + 2, trimmed: at + 1 });
    });

    test('takes 10,000 targets in one push, and stores a large body once', async () => {
      const shard = await fixture().begin();
      const targets = Array.from({ length: 10_000 }, () => shard.stream());
      const { entries } = await shard.append([shard.push(0, targets, { body: Buffer.alloc(100_000, 1) })]);
      expect(entries).toHaveLength(10_000);
      expect(entries.at(-1)).toEqual({ stream: targets.at(-1), position: 0, prev: BEFORE_ALL });
      expect((await shard.read(targets[5_000]!)).entries[0]!.body).toEqual(Buffer.alloc(100_000, 1));
      const scanned = await shard.scan();
      expect(scanned.through).toBe(0);
      expect(new Set(scanned.entries.map(({ stream }) => stream))).toEqual(new Set(targets));
      expect((await shard.streams.newest(targets)).size).toBe(10_000);
      await shard.trim(0);
      expect(await shard.positions(targets[9_999]!)).toEqual([]);
    });

    test('streams may be named anything, and names that begin alike are kept apart', async () => {
      const shard = await fixture().begin();
      const long = 'ü'.repeat(3_000);
      const names = ['r/a', 'r/a:', 'r/a\n', 'r/ab', 'r/\u0000', 'r/\u0000\u0001', `r/${long}`, `r/${long}x`];
      const mine = names.map((name) => shard.named(name));
      await shard.append(mine.map((stream, i) => shard.push(i, [stream], { body: Buffer.from(stream) })));
      for (const [i, stream] of mine.entries()) {
        const { entries } = await shard.read(stream);
        expect(entries.map(({ position, body }) => [position, body.toString()])).toEqual([[i, stream]]);
      }
      expect((await shard.scan()).entries.map(({ stream }) => stream)).toEqual(mine);
      await shard.trim(mine.length - 2);
      expect(await Promise.all(mine.map((stream) => shard.positions(stream)))).toEqual(
        mine.map((_, i) => (i === mine.length - 1 ? [i] : [])),
      );
    });
  });

  describe('an id', () => {
    test('that is known is dropped, whatever the batch, and is told', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const push = shard.push(0, [stream], { id: 'one' });
      await shard.append([push, { ...push, position: 1 }]);
      const again = await shard.append([{ ...push, position: 2 }, shard.push(3, [stream])]);
      expect(again.repeated).toEqual([{ position: 2, id: shard.id('one'), conflict: false }]);
      expect(again.entries).toEqual([{ stream, position: 3, prev: 0 }]);
      expect(again.applied).toBe(3);
      expect(await shard.positions(stream)).toEqual([0, 3]);
    });

    test('tells where it was taken in, of its caller, whichever stream of its shard is asked about', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const appliedAt = (caller: string, id: string, of = stream) => shard.streams.appliedAt(of, caller, id);
      const id = shard.id('one');
      expect(await appliedAt('orders', id)).toBeUndefined();
      await shard.append([shard.push(4, [stream], { id: 'one' }), shard.push(5, [stream], { id: '' })]);
      await shard.append([shard.push(6, [stream], { id: 'one' })]);
      await shard.trim(6);
      expect(await appliedAt('orders', id)).toBe(4);
      expect(await appliedAt('orders', id, shard.stream())).toBe(4);
      expect(await appliedAt('order', `s${id}`)).toBeUndefined();
      expect(await appliedAt('other', id)).toBeUndefined();
      expect(await appliedAt('orders', '')).toBeUndefined();
      expect([...(await shard.streams.positions('orders', id))]).toEqual([[shard.shard, 4]]);
      expect((await shard.streams.positions('other', id)).size).toBe(0);
      expect((await shard.streams.positions('orders', '')).size).toBe(0);
      const old = shard.push(7, [stream], { id: 'old', acceptedAtMs: harness().now() - ID_LIFETIME_MS });
      await shard.append([old]);
      expect(await appliedAt('orders', shard.id('old'))).toBeUndefined();
    });

    test('that is known for another content is dropped, and told as a conflict', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([shard.push(0, [stream], { id: 'one', digest: 'x' })]);
      const again = await shard.append([shard.push(1, [stream], { id: 'one', digest: 'y' })]);
      expect(again.repeated).toEqual([{ position: 1, id: shard.id('one'), conflict: true }]);
      expect(again.entries).toEqual([]);
    });

    test('is one of its caller', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const answer = await shard.append([
        shard.push(0, [stream], { id: '1', caller: 'a' }),
        shard.push(1, [stream], { id: '1', caller: 'b' }),
        shard.push(2, [stream], { id: '11', caller: '' }),
        shard.push(3, [stream], { id: '1', caller: '1' }),
        shard.push(4, [stream], { id: '', caller: 'a' }),
        shard.push(5, [stream], { id: '', caller: 'a' }),
      ]);
      expect(answer.repeated).toEqual([]);
      expect(await shard.positions(stream)).toEqual([0, 1, 2, 3, 4, 5]);
    });

    test('is known for a day from acceptance', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const acceptedAtMs = harness().now() - ID_LIFETIME_MS + 1_500;
      const push = (position: number, id: string, at = acceptedAtMs) =>
        shard.push(position, [stream], { id, acceptedAtMs: at });
      await shard.append([push(0, 'ends'), push(1, 'ended', acceptedAtMs - 10_000)]);
      const soon = await shard.append([push(2, 'ends'), push(3, 'ended')]);
      expect(soon.repeated.map(({ id }) => id)).toEqual([shard.id('ends')]);
      await harness().pass(1_600);
      const later = await shard.append([push(4, 'ends')]);
      expect(later.repeated).toEqual([]);
      expect(await shard.positions(stream)).toEqual([0, 1, 3, 4]);
    });

    test('is still known when its entry is trimmed', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([shard.push(0, [stream], { id: 'one' })]);
      await shard.trim(0);
      const again = await shard.append([shard.push(1, [stream], { id: 'one' })]);
      expect(again.repeated).toHaveLength(1);
    });

    test('of a push that is read again after its shard was restored is not a repetition', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const push = shard.push(1, [stream], { id: 'one' });
      await shard.append([push]);
      const other = await fixture().begin();
      expect((await other.append([push])).entries).toEqual([{ stream, position: 1, prev: BEFORE_ALL }]);
    });
  });

  describe('a replay', () => {
    test('leaves what was applied as it is, and answers the newest positions of its streams', async () => {
      const shard = await fixture().begin();
      const [a, b] = [shard.stream(), shard.stream()];
      const batch = [shard.push(0, [a, b]), shard.push(1, [a]), shard.push(2, [b])];
      await shard.append(batch);
      const before = await shard.seen([a, b]);
      const again = await shard.offer(BEFORE_ALL, 2, batch);
      expect(again).toMatchObject({ outcome: 'appended', applied: 2, entries: [], repeated: [] });
      expect(again).toHaveProperty('known', [
        { stream: a, newest: 1 },
        { stream: b, newest: 2 },
      ]);
      expect(await shard.seen([a, b])).toEqual(before);
    });

    test('takes in what is above applied', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const batch = [0, 1, 2, 3].map((position) => shard.push(position, [stream]));
      await shard.append(batch.slice(0, 2));
      const answer = await shard.offer(BEFORE_ALL, 3, batch);
      expect(answer).toEqual({
        outcome: 'appended',
        applied: 3,
        entries: [
          { stream, position: 2, prev: 1 },
          { stream, position: 3, prev: 2 },
        ],
        repeated: [],
        known: [{ stream, newest: 1 }],
      });
    });

    test('by a reader that lags does not move applied back', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const batch = [0, 1, 2, 3].map((position) => shard.push(position, [stream]));
      await shard.append(batch);
      await shard.trim(2);
      expect(await shard.offer(BEFORE_ALL, 1, batch.slice(0, 2))).toMatchObject({ applied: 3, entries: [] });
      expect(await shard.state()).toEqual({ applied: 3, trimmed: 2 });
      expect(await shard.positions(stream)).toEqual([3]);
    });
  });

  describe('a batch is refused whole', () => {
    test('as behind, when something before it was never taken in', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([shard.push(0, [stream])]);
      const before = await shard.seen([stream]);
      const push = shard.push(10, [stream], { id: 'late' });
      expect(await shard.offer(5, 10, [push])).toEqual({ outcome: 'behind', applied: 0 });
      expect(await shard.seen([stream])).toEqual(before);
      expect((await shard.append([{ ...push, position: 6 }])).repeated).toEqual([]);
    });

    test('as empty, in a shard of which nothing is known', async () => {
      const shard = fixture();
      const stream = shard.stream();
      expect(await shard.offer(BEFORE_ALL, 0, [shard.push(0, [stream])])).toEqual({ outcome: 'empty' });
      expect(await shard.state()).toBeUndefined();
      expect((await shard.streams.newest([stream])).size).toBe(0);
    });

    test('as empty, in a shard of another epoch, of which nothing changes', async () => {
      const [shard, other] = [await fixture().begin(), fixture()];
      const stream = shard.stream();
      await shard.append([shard.push(0, [stream])]);
      const before = await shard.seen([stream]);
      expect(await other.offer(BEFORE_ALL, 1, [other.push(1, [stream])])).toEqual({ outcome: 'empty' });
      expect(await shard.seen([stream])).toEqual(before);
    });

    test('as a fault, when its positions do not grow or lie outside of it', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      const offers: [before: number, through: number, positions: number[]][] = [
        [BEFORE_ALL, 3, [0, 2, 1]],
        [BEFORE_ALL, 3, [0, 0]],
        [BEFORE_ALL, 3, [3, 4]],
        [1, 3, [1, 2]],
      ];
      for (const [before, through, positions] of offers) {
        const pushes = positions.map((position) => shard.push(position, [stream]));
        await expect(shard.offer(before, through, pushes)).rejects.toMatchObject({ code: 'internal' });
      }
      expect(await shard.state()).toEqual({ applied: BEFORE_ALL, trimmed: BEFORE_ALL });
      expect(await shard.positions(stream)).toEqual([]);
    });
  });

  test('appends of several readers at once are taken in once, in order', async () => {
    const shard = await fixture().begin();
    const stream = shard.stream();
    const pushes = Array.from({ length: 60 }, (_, position) => shard.push(position, [stream]));
    const reader = async (size: number): Promise<void> => {
      for (let at = 0; at < pushes.length; at += size) {
        const batch = pushes.slice(at, at + size);
        await shard.offer(at - 1, batch.at(-1)!.position, batch);
      }
    };
    await Promise.all([reader(1), reader(7), reader(60)]);
    const { entries } = await shard.read(stream);
    expect(entries.map(({ position, prev }) => [position, prev])).toEqual(
      pushes.map(({ position }) => [position, position - 1]),
    );
  });
}
