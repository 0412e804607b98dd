import { describe, expect, test } from '@jest/globals';

import { key, type ShardFixture, type StreamsHarness } from './contract-fixture.js';
import { MAX_CURSORS, type CursorWrite } from './streams.js';

const OWNERS = [
  '0001767225600000-a-0000000001',
  '0001767225600000-b-0000000001',
  '0001767225600001-a-0000000001',
];

/** What cursors do. */
export function cursorContract(harness: () => StreamsHarness, fixture: () => ShardFixture): void {
  describe('a cursor', () => {
    const write = (stream: string, device: string, position: number, fields: Partial<CursorWrite> = {}) => ({
      stream,
      key: key(device),
      epoch: 'e1',
      position,
      owner: OWNERS[1]!,
      ttlMs: 60_000,
      ...fields,
    });
    const save = (...writes: CursorWrite[]) => harness().streams.saveCursors(writes);
    const saved = async (stream: string) =>
      Object.fromEntries(
        [...(await harness().streams.cursors(stream))].map(([device, { epoch, position }]) => [
          device,
          `${epoch} ${position}`,
        ]),
      );

    test('is kept by stream and device', async () => {
      const [a, b] = [fixture().stream(), fixture().stream()];
      await save(write(a, 'web', 5), write(b, 'web', 2 ** 53 - 1), write(a, 'ü:\t😀', -1));
      expect(await saved(a)).toEqual({ web: 'e1 5', 'ü:\t😀': 'e1 -1' });
      expect(await saved(b)).toEqual({ web: `e1 ${2 ** 53 - 1}` });
      expect(await saved(fixture().stream())).toEqual({});
    });

    test('goes forward only within an epoch, and where it is told in another', async () => {
      const stream = fixture().stream();
      await save(write(stream, 'web', 5));
      await save(write(stream, 'web', 3));
      expect(await saved(stream)).toEqual({ web: 'e1 5' });
      await save(write(stream, 'web', 7), write(stream, 'web', 6));
      expect(await saved(stream)).toEqual({ web: 'e1 7' });
      await save(write(stream, 'web', 2, { epoch: 'e2' }));
      expect(await saved(stream)).toEqual({ web: 'e2 2' });
    });

    test('is not changed by an older owner, in whatever part of its sequence it is older', async () => {
      const stream = fixture().stream();
      await save(write(stream, 'web', 5, { owner: OWNERS[1]! }));
      await save(write(stream, 'web', 9, { owner: OWNERS[0]! }));
      expect(await saved(stream)).toEqual({ web: 'e1 5' });
      await save(write(stream, 'web', 1, { owner: OWNERS[0]!, epoch: 'e0' }));
      expect(await saved(stream)).toEqual({ web: 'e1 5' });
      await save(write(stream, 'web', 6, { owner: OWNERS[2]! }));
      await save(write(stream, 'web', 8, { owner: OWNERS[1]! }));
      expect(await saved(stream)).toEqual({ web: 'e1 6' });
    });

    test('belongs to a newer owner also when that one is not further', async () => {
      const stream = fixture().stream();
      await save(write(stream, 'web', 5, { owner: OWNERS[1]! }));
      await save(write(stream, 'web', 3, { owner: OWNERS[2]! }));
      await save(write(stream, 'web', 9, { owner: OWNERS[1]! }));
      expect(await saved(stream)).toEqual({ web: 'e1 5' });
    });

    test('is gone after its time, and each save renews it', async () => {
      const stream = fixture().stream();
      await save(write(stream, 'short', 1, { ttlMs: 900 }), write(stream, 'long', 1));
      await harness().pass(500);
      await save(write(stream, 'renewed', 1, { ttlMs: 900 }), write(stream, 'short', 1, { ttlMs: 1_000 }));
      await harness().pass(500);
      expect(Object.keys(await saved(stream)).sort()).toEqual(['long', 'renewed', 'short']);
      await harness().pass(800);
      expect(await saved(stream)).toEqual({ long: 'e1 1' });
      await save(write(stream, 'short', 0, { owner: OWNERS[0]! }));
      expect(await saved(stream)).toEqual({ long: 'e1 1', short: 'e1 0' });
    });

    test('tells where its device began, also when it comes back, and begins anew by its wish or in another epoch', async () => {
      const [stream, other] = [fixture().stream(), fixture().stream()];
      const device = async (name = 'web') => {
        const { position, begin, untilMs, epoch } = (await harness().streams.devices([stream]))
          .get(stream)!
          .get(key(name))!;
        const left = untilMs - harness().now();
        return { epoch, position, begin, kept: left > 50_000 && left <= 60_000 };
      };
      await save(write(stream, 'web', 5), write(stream, 'phone', -1));
      await save(write(stream, 'web', 9), write(stream, 'web', 7));
      expect(await device()).toEqual({ epoch: 'e1', position: 9, begin: 5, kept: true });
      expect(await device('phone')).toEqual({ epoch: 'e1', position: -1, begin: -1, kept: true });
      await save(write(stream, 'web', 20, { begins: true }), write(stream, 'web', 22));
      expect(await device()).toMatchObject({ position: 22, begin: 20 });
      await save(write(stream, 'web', 3, { epoch: 'e2' }));
      expect(await device()).toMatchObject({ epoch: 'e2', position: 3, begin: 3 });
      const both = await harness().streams.devices([stream, other]);
      expect([...both.keys()]).toEqual([stream]);
    });

    test('is one of 32 of a stream: the one saved longest ago goes', async () => {
      const stream = fixture().stream();
      const devices = Array.from({ length: MAX_CURSORS }, (_, i) => `d${i}`);
      await save(...devices.map((device, i) => write(stream, device, i)));
      await save(write(stream, 'd0', 100));
      expect(Object.keys(await saved(stream))).toHaveLength(MAX_CURSORS);
      await save(write(stream, 'new', 1), write(stream, 'newer', 1));
      const left = await saved(stream);
      expect(Object.keys(left)).toHaveLength(MAX_CURSORS);
      expect([left['d0'], left['d1'], left['d2'], left['new'], left['d3']]).toEqual([
        'e1 100',
        undefined,
        undefined,
        'e1 1',
        'e1 3',
      ]);
    });

    test('outlives trimming and another epoch of its shard', async () => {
      const shard = await fixture().begin();
      const stream = shard.stream();
      await shard.append([shard.push(0, [stream])]);
      await save(write(stream, 'web', 0, { epoch: shard.epoch }));
      await shard.trim(0);
      await fixture().begin();
      expect(await saved(stream)).toEqual({ web: `${shard.epoch} 0` });
    });
  });
}
