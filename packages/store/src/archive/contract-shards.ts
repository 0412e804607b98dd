import { describe, expect, test } from '@jest/globals';

import { type ArchiveHarness, freshEpoch, historyOf, readAll, row } from './contract-fixture.js';

/** What an archive does with several shards in a call. */
export function shardsContract(harnessOf: () => ArchiveHarness): void {
  describe('several shards at once', () => {
    test('are stored together, each with a watermark of its own', async () => {
      const [{ archive }, epoch] = [harnessOf(), freshEpoch()];
      expect(await archive.store(epoch, [])).toEqual([]);
      expect(await archive.watermarks([], epoch)).toEqual(new Map());
      const batches = [
        { shard: 9, from: -1, through: 20, entries: [row('u/9', 3), row('u/9', 20)] },
        { shard: 2, from: -1, through: 7, entries: [row('u/2', 7)] },
        { shard: 4, from: -1, through: 1_000, entries: [] },
      ];
      expect(await archive.store(epoch, batches)).toEqual([true, true, true]);
      expect(await archive.watermarks([2, 4, 5, 9], epoch)).toEqual(
        new Map([
          [2, 7],
          [4, 1_000],
          [5, -1],
          [9, 20],
        ]),
      );
      expect(await archive.watermark(9, epoch)).toBe(20);
      expect(await historyOf(archive, epoch, 'u/9')).toEqual([3, 20]);
      expect(await historyOf(archive, epoch, 'u/2')).toEqual([7]);
    });

    test('one whose watermark is another one is left alone, and the others are stored', async () => {
      const [{ archive }, epoch] = [harnessOf(), freshEpoch()];
      await archive.store(epoch, [
        { shard: 1, from: -1, through: 5, entries: [row('u/1', 5)] },
        { shard: 2, from: -1, through: 5, entries: [row('u/2', 5)] },
      ]);
      const stored = await archive.store(epoch, [
        { shard: 1, from: 5, through: 8, entries: [row('u/1', 8)] },
        { shard: 2, from: 4, through: 8, entries: [row('u/2', 8)] },
        { shard: 3, from: 0, through: 8, entries: [row('u/3', 8)] },
        { shard: 4, from: -1, through: 8, entries: [row('u/4', 8)] },
        { shard: 2_000, from: 5, through: 8, entries: [row('u/2000', 8)] },
      ]);
      expect(stored).toEqual([true, false, false, true, false]);
      expect([...(await archive.watermarks([1, 2, 3, 4, 2_000], epoch)).values()]).toEqual([8, 5, -1, 8, -1]);
      expect(await historyOf(archive, epoch, 'u/1')).toEqual([5, 8]);
      expect(await historyOf(archive, epoch, 'u/2')).toEqual([5]);
      expect(await historyOf(archive, epoch, 'u/3')).toEqual([]);
      expect(await historyOf(archive, epoch, 'u/4')).toEqual([8]);
    });

    test('a body at the same position of two shards is that of each', async () => {
      const [{ archive, ...harness }, epoch] = [harnessOf(), freshEpoch()];
      const bodies = await harness.sharedBodies();
      const [one, two] = [Buffer.alloc(600, 1), Buffer.alloc(600, 2)];
      await archive.store(epoch, [
        {
          shard: 1,
          from: -1,
          through: 5,
          entries: [row('u/a', 5, { body: one }), row('u/b', 5, { body: one })],
        },
        {
          shard: 2,
          from: -1,
          through: 5,
          entries: [row('u/c', 5, { body: two }), row('u/d', 5, { body: two }), row('u/c', 6)],
        },
      ]);
      expect((await harness.sharedBodies()) - bodies).toBe(2);
      expect((await readAll(archive, epoch, 'u/b'))[0]?.body).toEqual(new Uint8Array(one));
      expect((await readAll(archive, epoch, 'u/d'))[0]?.body).toEqual(new Uint8Array(two));
    });

    test('of several nodes that archive some of the same, each shard is stored by one', async () => {
      const [{ archive }, epoch] = [harnessOf(), freshEpoch()];
      const batch = (shard: number) => ({
        shard,
        from: -1,
        through: 9,
        entries: Array.from({ length: 10 }, (_, index) => row(`u/${shard}`, index)),
      });
      const nodes = [
        [1, 2, 3, 4],
        [4, 3, 2, 1],
        [2, 3],
        [3, 1, 5],
      ];
      const answers = await Promise.all(nodes.map((shards) => archive.store(epoch, shards.map(batch))));
      for (const shard of [1, 2, 3, 4, 5]) {
        const writers = nodes.filter((shards, node) => answers[node]![shards.indexOf(shard)] === true);
        expect(writers).toHaveLength(1);
        expect(await historyOf(archive, epoch, `u/${shard}`)).toHaveLength(10);
      }
    });

    test('text that could end a literal is text', async () => {
      const [{ archive }, epoch] = [harnessOf(), freshEpoch()];
      const id = '\\\'"`?;--\u0000\n\u001a%_ ü😀';
      const entry = row(`r/live://${id}`, 1, { id, caller: id, collapseKey: id, traceparent: '?' });
      await archive.store(epoch, [{ shard: 1, from: -1, through: 1, entries: [entry] }]);
      const [kept] = await readAll(archive, epoch, entry.stream);
      expect(kept).toMatchObject({ id, caller: id, collapseKey: id, traceparent: '?' });
    });
  });
}
