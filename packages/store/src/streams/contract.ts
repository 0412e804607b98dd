import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import { appendContract } from './contract-append.js';
import { collapseContract } from './contract-collapse.js';
import { cursorContract } from './contract-cursors.js';
import { ShardFixture, type StreamsHarness } from './contract-fixture.js';
import { modelContract } from './contract-property.js';
import { readContract } from './contract-read.js';
import { BEFORE_ALL } from './streams.js';

/** What every store of streams does. */
export function streamsContract(adapter: string, makeHarness: () => Promise<StreamsHarness>): void {
  describe(`streams on ${adapter}`, () => {
    let harness: StreamsHarness;
    const fixture = (shard = 0): ShardFixture => new ShardFixture(harness, shard);

    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.close());

    appendContract(
      () => harness,
      () => fixture(),
    );
    readContract(fixture);
    collapseContract(fixture);
    cursorContract(
      () => harness,
      () => fixture(),
    );
    modelContract(() => harness);

    test('a store that was emptied says so, and is filled again from where it is restored', async () => {
      const shard = await fixture().begin();
      const [a, b] = [shard.stream(), shard.stream()];
      const batch = [0, 1, 2, 3].map((position) => shard.push(position, [a, b]));
      await shard.append(batch);
      await harness.empty();
      expect(await shard.offer(3, 4, [shard.push(4, [a])])).toEqual({ outcome: 'empty' });
      expect(
        await shard.streams.read(shard.epoch, [{ stream: a, after: 0, maxEntries: 9, maxBytes: 9 }]),
      ).toEqual([undefined]);
      expect((await shard.streams.newest([a])).size).toBe(0);
      await shard.begin(1);
      expect(await shard.offer(BEFORE_ALL, 3, batch)).toMatchObject({
        entries: [
          { stream: a, position: 2, prev: 1 },
          { stream: b, position: 2, prev: 1 },
          { stream: a, position: 3, prev: 2 },
          { stream: b, position: 3, prev: 2 },
        ],
        known: [
          { stream: a, newest: 1 },
          { stream: b, newest: 1 },
        ],
      });
    });

    test('what was answered is there when the store is opened anew', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([shard.push(0, [stream]), shard.push(1, [stream, shard.stream()])]);
      await shard.trim(0);
      const before = await shard.seen([stream]);
      await harness.reopen();
      expect(await shard.seen([stream])).toEqual(before);
    });

    test('is reachable and not full', () => {
      expect([harness.streams.healthy(), harness.streams.full()]).toEqual([true, false]);
    });
  });
}
