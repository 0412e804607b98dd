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

    describe('of devices that come, many at once', () => {
      const TTL_MS = 60_000;
      const coming = (stream: string, device: string | undefined, owner = OWNERS[1]!) => ({
        stream,
        key: device === undefined ? undefined : key(device),
        owner,
      });
      const resume = (epoch: string, ...devices: ReturnType<typeof coming>[]) =>
        harness().streams.resume(epoch, TTL_MS, devices);

      test('is where they go on, and theirs from then on', async () => {
        const shard = await fixture().begin();
        const [epoch, stream] = [shard.epoch, shard.stream()];
        await save(
          write(stream, 'web', 5, { epoch, owner: OWNERS[0]! }),
          write(stream, 'old', 3, { epoch: 'e0' }),
        );
        expect(await resume(epoch, coming(stream, 'web'), coming(stream, 'old'))).toEqual([
          { epoch, position: 5, known: true },
          { epoch: 'e0', position: 3, known: true },
        ]);
        await save(write(stream, 'web', 9, { epoch, owner: OWNERS[0]! }));
        expect(await saved(stream)).toEqual({ web: `${epoch} 5`, old: 'e0 3' });
        const { begin, untilMs } = (await harness().streams.devices([stream])).get(stream)!.get(key('web'))!;
        const left = untilMs - harness().now();
        expect([begin, left > TTL_MS - 10_000 && left <= TTL_MS]).toEqual([5, true]);
      });

      test('begins at the end of what the shard has taken in where none is known; without a key none is kept', async () => {
        const shard = await fixture().begin();
        const [stream, other] = [shard.stream(), shard.stream()];
        await shard.append([shard.push(4, [stream])], 6);
        const end = { epoch: shard.epoch, position: 6, known: false };
        const devices = [coming(stream, 'web'), coming(other, undefined), coming(stream, undefined)];
        expect(await resume(shard.epoch, ...devices)).toEqual([end, end, end]);
        expect([await saved(stream), await saved(other)]).toEqual([{ web: `${shard.epoch} 6` }, {}]);
        await shard.append([shard.push(7, [stream])]);
        expect(await resume(shard.epoch, coming(stream, 'web', OWNERS[2]!))).toEqual([
          { ...end, known: true },
        ]);
        expect(await resume(shard.epoch)).toEqual([]);
      });

      test('is not answered for an empty shard or another epoch, nor where it may be lost; nothing is saved then', async () => {
        const stream = fixture().stream();
        expect(await resume(fixture().epoch, coming(stream, 'web'))).toEqual([undefined]);
        const shard = await fixture().begin(20);
        const end = { epoch: shard.epoch, position: 20, known: false };
        const devices = [coming(stream, 'web'), coming(stream, undefined)];
        expect(await resume(shard.epoch, ...devices)).toEqual([undefined, end]);
        expect(await resume('another', ...devices)).toEqual([undefined, undefined]);
        expect(await saved(stream)).toEqual({});
        await save(write(stream, 'web', 20, { epoch: shard.epoch }));
        expect(await resume(shard.epoch, coming(stream, 'web'))).toEqual([{ ...end, known: true }]);
        // At the beginning nothing can be lost.
        await fixture().streams.restore(fixture().shard, 'anew', -1);
        expect(await resume('anew', coming(stream, 'phone'))).toEqual([
          { epoch: 'anew', position: -1, known: false },
        ]);
      });

      test('serves streams of several shards', async () => {
        const streams = Array.from({ length: 40 }, () => `u/several ${Math.random()}`);
        await save(...streams.map((stream, i) => write(stream, 'web', i, { epoch: 'e1' })));
        const outcomes = await resume('none', ...streams.map((stream) => coming(stream, 'web')));
        expect(outcomes).toEqual(streams.map((_, position) => ({ epoch: 'e1', position, known: true })));
      });
    });
  });
}
