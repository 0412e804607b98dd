import { describe, expect, test } from '@jest/globals';

import { NO_LIMITS, type ShardFixture } from './contract-fixture.js';
import { BEFORE_ALL } from './streams.js';

/** What reading, scanning, trimming and restoring do. */
export function readContract(fixture: (shard?: number) => ShardFixture): void {
  describe('read', () => {
    test('answers what is above both the cursor and what is trimmed, with the state at that moment', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([0, 1, 2, 3, 4].map((position) => shard.push(position, [stream])));
      await shard.trim(1);
      expect(await shard.read(stream)).toMatchObject({ applied: 4, trimmed: 1, more: false });
      expect(await shard.positions(stream)).toEqual([2, 3, 4]);
      expect(await shard.positions(stream, 3)).toEqual([4]);
      expect(await shard.positions(stream, 4)).toEqual([]);
      expect(await shard.positions(stream, 99)).toEqual([]);
    });

    test('ends at the limit of entries, and tells that more remain', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append(Array.from({ length: 100 }, (_, position) => shard.push(position, [stream])));
      const page = await shard.read(stream, 9, { maxEntries: 40 });
      expect([page.entries.length, page.entries[0]!.position, page.more]).toEqual([40, 10, true]);
      const last = await shard.read(stream, 59, { maxEntries: 40 });
      expect([last.entries.length, last.more]).toEqual([40, false]);
    });

    test('ends at the limit of bytes, counting bodies, but answers one entry at least', async () => {
      const shard = await fixture().begin();
      const [alone, one, two] = [shard.stream(), shard.stream(), shard.stream()];
      await shard.append([
        ...[0, 1, 2, 3].map((position) => shard.push(position, [alone], { body: Buffer.alloc(10_000) })),
        ...[4, 5, 6, 7].map((position) => shard.push(position, [one, two], { body: Buffer.alloc(10_000) })),
      ]);
      for (const stream of [alone, one, two]) {
        const page = await shard.read(stream, BEFORE_ALL, { maxBytes: 25_000 });
        expect([page.entries.length, page.more]).toEqual([2, true]);
        const least = await shard.read(stream, BEFORE_ALL, { maxBytes: 1 });
        expect([least.entries.length, least.more]).toEqual([1, true]);
      }
    });

    test('answers several streams, of several shards, in the order asked for', async () => {
      const [one, two] = [await fixture().begin(), fixture(1)];
      await two.streams.restore(two.shard, one.epoch, 40);
      const [a, b, c] = [one.stream(), two.stream(), one.stream()];
      await one.append([one.push(0, [a]), one.push(1, [c, a])]);
      const ask = (stream: string, after: number) => ({ stream, after, ...NO_LIMITS });
      const pages = await one.streams.read(one.epoch, [ask(c, 0), ask(b, 0), ask(a, 0), ask(a, BEFORE_ALL)]);
      expect(pages.map((page) => page?.entries.map(({ position }) => position))).toEqual([
        [1],
        [],
        [1],
        [0, 1],
      ]);
      expect(pages[1]).toMatchObject({ applied: 40, trimmed: 40 });
      expect(await one.streams.read('another epoch', [ask(a, 0)])).toEqual([undefined]);
      expect(await one.streams.read(one.epoch, [])).toEqual([]);
    });
  });

  describe('newest', () => {
    test('is the last position of a stream, also when that is trimmed', async () => {
      const shard = await fixture().begin();
      const [a, b, none] = [shard.stream(), shard.stream(), shard.stream()];
      await shard.append([shard.push(0, [a, b]), shard.push(1, [a])]);
      const expected = new Map([
        [a, 1],
        [b, 0],
      ]);
      expect(await shard.streams.newest([a, none, b, a])).toEqual(expected);
      await shard.trim(1);
      expect(await shard.streams.newest([a, none, b])).toEqual(expected);
    });

    test('is where the shard was restored, of a stream of which nothing else is known', async () => {
      const shard = await fixture().begin(40);
      const [known, none] = [shard.stream(), shard.stream()];
      await shard.append([shard.push(41, [known]), shard.push(42, [shard.stream()])]);
      await shard.trim(42);
      expect([await shard.newest(known), await shard.newest(none)]).toEqual([41, 40]);
      const again = await shard.offer(20, 30, [shard.push(25, [none])]);
      expect(again).toMatchObject({ entries: [], known: [{ stream: none, newest: 40 }] });
    });
  });

  describe('scan', () => {
    test('answers the entries of all streams by position, in steps', async () => {
      const shard = await fixture().begin();
      const [a, b] = [shard.stream(), shard.stream()];
      await shard.append(
        [shard.push(0, [a]), shard.push(5, [b, a], { body: Buffer.alloc(999) }), shard.push(9, [b])],
        20,
      );
      const rows = async (after: number, max: number) => {
        const { through, entries } = await shard.scan(after, max);
        return [through, ...entries.map(({ stream, entry }) => [stream, entry.position, entry.prev])];
      };
      expect(await rows(BEFORE_ALL, 2)).toEqual([5, [a, 0, BEFORE_ALL], [b, 5, BEFORE_ALL], [a, 5, 0]]);
      expect(await rows(5, 2)).toEqual([20, [b, 9, 5]]);
      expect(await rows(20, 2)).toEqual([20]);
      expect((await shard.scan(0)).entries[0]!.entry.body).toEqual(Buffer.alloc(999));
      await shard.trim(5);
      expect(await rows(BEFORE_ALL, 9)).toEqual([20, [b, 9, 5]]);
    });

    test('answers less at a time when positions are large, and all in the end', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      for (let position = 0; position < 24; position += 1)
        await shard.append([shard.push(position, [stream], { body: Buffer.alloc(1_000_000) })]);
      const positions: number[] = [];
      let [after, calls] = [BEFORE_ALL, 0];
      while (after < 23) {
        const { through, entries } = await shard.scan(after);
        expect(through).toBeGreaterThan(after);
        positions.push(...entries.map(({ entry }) => entry.position));
        [after, calls] = [through, calls + 1];
      }
      expect(positions).toEqual(Array.from({ length: 24 }, (_, position) => position));
      expect(calls).toBeGreaterThan(1);
    });

    test('answers nothing of an empty shard or of another epoch', async () => {
      const shard = await fixture().begin();
      expect(await shard.streams.scan(shard.shard, 'another epoch', 0, 10)).toBeUndefined();
    });
  });

  describe('trim', () => {
    test('goes as far as applied, and never back', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([0, 1, 2, 3].map((position) => shard.push(position, [stream])));
      await shard.trim(2);
      expect(await shard.state()).toEqual({ applied: 3, trimmed: 2 });
      await shard.trim(0);
      expect(await shard.state()).toEqual({ applied: 3, trimmed: 2 });
      expect(await shard.positions(stream)).toEqual([3]);
      await shard.trim(1_000);
      expect(await shard.state()).toEqual({ applied: 3, trimmed: 3 });
      expect(await shard.positions(stream)).toEqual([]);
    });

    test('moves between entries, too', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([shard.push(10, [stream]), shard.push(20, [stream])], 30);
      await shard.trim(15);
      expect(await shard.state()).toEqual({ applied: 30, trimmed: 15 });
      await shard.trim(25);
      expect(await shard.state()).toEqual({ applied: 30, trimmed: 25 });
      expect(await shard.positions(stream)).toEqual([]);
    });

    test('removes many positions', async () => {
      const shard = await fixture().begin();
      const streams = Array.from({ length: 10 }, () => shard.stream());
      const pushes = Array.from({ length: 3_000 }, (_, position) =>
        shard.push(position, [streams[position % 10]!, streams[(position + 1) % 10]!]),
      );
      for (let at = 0; at < 3_000; at += 500) await shard.append(pushes.slice(at, at + 500));
      await shard.trim(2_900);
      expect(await shard.state()).toEqual({ applied: 2_999, trimmed: 2_900 });
      expect((await shard.scan()).entries).toHaveLength(198);
      expect(await shard.positions(streams[0]!)).toHaveLength(19);
    });

    test('does nothing to an empty shard or to another epoch', async () => {
      const [shard, other] = [await fixture().begin(), fixture()];
      const stream = shard.stream();
      await shard.append([shard.push(0, [stream])]);
      await other.trim(0);
      expect(await shard.positions(stream)).toEqual([0]);
      expect(await other.state()).toBeUndefined();
    });
  });

  describe('restore', () => {
    test('begins an empty shard where it is told, once', async () => {
      const shard = fixture();
      expect(await shard.streams.restore(shard.shard, shard.epoch, 50)).toEqual({ applied: 50, trimmed: 50 });
      expect(await shard.streams.restore(shard.shard, shard.epoch, 99)).toEqual({ applied: 50, trimmed: 50 });
      expect(await shard.offer(60, 70, [])).toEqual({ outcome: 'behind', applied: 50 });
    });

    test('tells since when cursors may be lost: never, of a shard that began at the beginning', async () => {
      const [shard, fresh, unknown] = [fixture(), await fixture().begin(), fixture()];
      const before = shard.now();
      await shard.begin(50);
      const restoredAtMs = await shard.streams.restoredAtMs(shard.shard, shard.epoch);
      expect(restoredAtMs).toBeGreaterThanOrEqual(before);
      expect(restoredAtMs).toBeLessThanOrEqual(shard.now());
      expect(await shard.streams.restoredAtMs(shard.shard, unknown.epoch)).toBeUndefined();
      expect([0, undefined]).toContain(await fresh.streams.restoredAtMs(fresh.shard, fresh.epoch));
    });

    test('in another epoch forgets entries and newest positions', async () => {
      const old = await fixture().begin();
      const streams = Array.from({ length: 5 }, () => old.stream());
      await old.append([old.push(100, streams, { body: Buffer.alloc(999) }), old.push(101, [streams[0]!])]);
      const shard = await fixture().begin();
      expect(await old.state()).toBeUndefined();
      expect(await shard.state()).toEqual({ applied: BEFORE_ALL, trimmed: BEFORE_ALL });
      expect((await shard.streams.newest(streams)).size).toBe(0);
      expect((await shard.scan()).entries).toEqual([]);
      // Positions begin again below those of the other epoch.
      const { entries } = await shard.append([shard.push(3, streams)]);
      expect(new Set(entries.map(({ prev }) => prev))).toEqual(new Set([BEFORE_ALL]));
      expect(await shard.positions(streams[0]!)).toEqual([3]);
      expect(await shard.newest(streams[0]!)).toBe(3);
    });

    test('by two at once agrees', async () => {
      const shard = fixture();
      const states = await Promise.all(
        [10, 20, 30].map((position) => shard.streams.restore(shard.shard, shard.epoch, position)),
      );
      expect(new Set(states.map(({ applied }) => applied)).size).toBe(1);
    });
  });
}
