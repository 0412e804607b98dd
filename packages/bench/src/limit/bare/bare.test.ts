import { expect, test } from '@jest/globals';

import { packed, type PackedPush, unpack } from './packed.js';
import { type LaneRecord, ProduceLane } from './produce-lane.js';

const push = (mid: number, body = `for ${mid}`): PackedPush => ({
  mid,
  operation: 1_000,
  body: Buffer.from(body),
});

function unpacked(bytes: Buffer): PackedPush[] {
  const found: PackedPush[] = [];
  unpack(bytes, (one) => found.push(one));
  return found;
}

test('what was packed is unpacked in its order', () => {
  const pushes = [push(7), push(1_000_000_000_123, ''), push(7, 'again')];
  expect(unpacked(packed(pushes))).toEqual(pushes);
  expect(unpacked(Buffer.alloc(0))).toEqual([]);
});

test('what comes while Kafka is written to leaves together behind it, a record a partition', async () => {
  const sent: (readonly LaneRecord[])[] = [];
  const lane = new ProduceLane(2, async (records) => {
    sent.push(records);
    await new Promise(setImmediate);
  });
  await Promise.all([lane.add([push(1)]), lane.add([push(3), push(2)])]);
  await lane.add([push(5)]);
  const shown = sent.map((records) =>
    records.map(({ partition, value }) => [partition, unpacked(value).map(({ mid }) => mid)]),
  );
  expect(shown).toEqual([
    [
      [1, [1, 3]],
      [0, [2]],
    ],
    [[1, [5]]],
  ]);
});

test('what Kafka does not take is told to each who waits, and the next is tried', async () => {
  let isDown = true;
  const lane = new ProduceLane(2, () => (isDown ? Promise.reject(new Error('down')) : Promise.resolve()));
  const both = await Promise.allSettled([lane.add([push(1)]), lane.add([push(2)])]);
  expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  isDown = false;
  await expect(lane.add([push(1)])).resolves.toBeUndefined();
});
