import { describe, expect, test } from '@jest/globals';

import { DeliveryQueue, type DeliveryResult, type QueuedDelivery } from './delivery-queue.js';

/** A queue whose deliveries write down what became of them. */
function setup(maxBytes = 1_000) {
  const settled: [string, DeliveryResult][] = [];
  const queue = new DeliveryQueue(maxBytes);
  const delivery = (lane: string, position: number, bytes = 10, expireAtMs = 0): QueuedDelivery => ({
    lane,
    topic: 't',
    partition: 0,
    position,
    message: {},
    bytes,
    expireAtMs,
    settle: (result) => settled.push([`${lane}:${position}`, result]),
  });
  const positions = (taken: QueuedDelivery[]) => taken.map(({ lane, position }) => `${lane}:${position}`);
  return { queue, delivery, settled, positions };
}

describe('the queue to one comet', () => {
  test('gives deliveries out in order, up to a number and a weight', () => {
    const { queue, delivery, positions } = setup();
    for (let position = 1; position <= 5; position += 1) queue.offer(delivery('a', position));
    expect(positions(queue.take(2, 1_000, 0))).toEqual(['a:1', 'a:2']);
    expect(positions(queue.take(10, 25, 0))).toEqual(['a:3', 'a:4']);
    expect(positions(queue.take(10, 1, 0))).toEqual(['a:5']);
    expect(queue.take(10, 1_000, 0)).toEqual([]);
    expect(queue.size).toBe(5);
  });

  test('an acknowledgement settles what was sent of its lane up to the position, and nothing else', () => {
    const { queue, delivery, settled } = setup();
    for (const [lane, position] of [
      ['a', 1],
      ['b', 1],
      ['a', 2],
      ['a', 3],
    ] as const)
      queue.offer(delivery(lane, position));
    queue.take(3, 1_000, 0);
    expect(queue.ack('a', 3)).toBe(2);
    expect(settled).toEqual([
      ['a:1', 'acked'],
      ['a:2', 'acked'],
    ]);
    expect(queue.size).toBe(2);
    expect(queue.bytes).toBe(20);
    expect(queue.ack('unknown', 9)).toBe(0);
  });

  test('the newest is refused when it is full, over queued and unacknowledged bytes', () => {
    const { queue, delivery } = setup(25);
    expect(queue.offer(delivery('a', 1))).toBe(true);
    expect(queue.offer(delivery('a', 2))).toBe(true);
    queue.take(1, 1_000, 0);
    expect(queue.offer(delivery('a', 3))).toBe(false);
    queue.ack('a', 1);
    expect(queue.offer(delivery('a', 4))).toBe(true);
  });

  test('one larger than the bound still passes through an empty queue', () => {
    const { queue, delivery } = setup(25);
    expect(queue.offer(delivery('a', 1, 500))).toBe(true);
    expect(queue.offer(delivery('a', 2, 1))).toBe(false);
  });

  test('after a broken stream the unacknowledged go out first, in the order of each lane', () => {
    const { queue, delivery, positions } = setup();
    for (const [lane, position] of [
      ['a', 1],
      ['b', 1],
      ['a', 2],
      ['b', 2],
      ['a', 3],
    ] as const)
      queue.offer(delivery(lane, position));
    queue.take(4, 1_000, 0);
    queue.ack('a', 1);
    queue.rewind();
    const again = positions(queue.take(10, 1_000, 0));
    expect(again.filter((one) => one.startsWith('a'))).toEqual(['a:2', 'a:3']);
    expect(again.filter((one) => one.startsWith('b'))).toEqual(['b:1', 'b:2']);
    expect(again.indexOf('b:2')).toBeLessThan(again.indexOf('a:3'));
  });

  test('what expired while it waited is settled, not sent', () => {
    const { queue, delivery, settled, positions } = setup();
    queue.offer(delivery('a', 1, 10, 100));
    queue.offer(delivery('a', 2));
    expect(positions(queue.take(1, 1_000, 100))).toEqual(['a:2']);
    expect(settled).toEqual([['a:1', 'expired']]);
  });

  test('giving up settles everything once, sent or not; of one lane when named', () => {
    const { queue, delivery, settled, positions } = setup();
    for (const lane of ['a', 'b']) for (const position of [1, 2, 3]) queue.offer(delivery(lane, position));
    queue.take(4, 1_000, 0);
    expect(queue.giveUp('queue_full', 'a')).toBe(3);
    expect(settled.every(([name, result]) => name.startsWith('a') && result === 'queue_full')).toBe(true);
    expect(positions(queue.take(10, 1_000, 0))).toEqual(['b:2', 'b:3']);
    expect(queue.giveUp('comet_left')).toBe(3);
    expect(queue.bytes).toBe(0);
    expect(queue.size).toBe(0);
    expect(settled).toHaveLength(6);
  });
});
