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
    streams: [],
    forStreamsOnly: false,
    bytes,
    expireAtMs,
    settle: (result) => settled.push([`${lane}:${position}`, result]),
  });
  /** Tells of streams, with a body or beside a room. */
  const hint = (
    lane: string,
    position: number,
    streams: readonly string[],
    { bytes = 10, forStreamsOnly = true } = {},
  ): QueuedDelivery => ({ ...delivery(lane, position, bytes), streams, forStreamsOnly });
  /** Takes deliveries, as they come: with `…` where only that streams have news is told. */
  const told = (maxDeliveries = 100) =>
    queue.take(maxDeliveries, 1_000_000, 0).map(({ lane, position, message }) => {
      const news = (message.streams ?? []).map(({ stream }) => stream).join('+');
      return message.without_body ? `${lane}:${position} ${news}…` : `${lane}:${position}`;
    });
  const positions = (taken: QueuedDelivery[]) => taken.map(({ lane, position }) => `${lane}:${position}`);
  return { queue, delivery, hint, told, settled, positions };
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
    const { queue, delivery, settled, positions } = setup(25);
    queue.offer(delivery('a', 1));
    queue.offer(delivery('a', 2));
    queue.take(1, 1_000, 0);
    queue.offer(delivery('a', 3));
    expect(settled).toEqual([['a:3', 'queue_full']]);
    queue.ack('a', 1);
    queue.offer(delivery('a', 4));
    expect(positions(queue.take(10, 1_000, 0))).toEqual(['a:2', 'a:4']);
  });

  test('one larger than the bound still passes through an empty queue', () => {
    const { queue, delivery, settled } = setup(25);
    queue.offer(delivery('a', 1, 500));
    expect(settled).toEqual([]);
    queue.offer(delivery('a', 2, 1));
    expect(settled).toEqual([['a:2', 'queue_full']]);
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
    expect(queue.giveUpLane('a')).toBe(3);
    expect(settled.every(([name, result]) => name.startsWith('a') && result === 'queue_full')).toBe(true);
    expect(positions(queue.take(10, 1_000, 0))).toEqual(['b:2', 'b:3']);
    expect(queue.giveUp('comet_left')).toBe(3);
    expect(queue.bytes).toBe(0);
    expect(queue.size).toBe(0);
    expect(settled).toHaveLength(6);
  });

  test('what tells of streams collapses when it is full: of each stream, the newest is kept, without its body', () => {
    const { queue, hint, told, settled } = setup(1_000);
    for (let position = 1; position <= 6; position += 1)
      queue.offer(hint('a', position, [`u/${position % 3}`, 'u/9'], { bytes: 220 }));
    expect(settled.map(([name, result]) => `${name} ${result}`)).toEqual(
      Array.from({ length: 5 }, (_, index) => `a:${index + 1} collapsed`),
    );
    expect(queue.size).toBe(5);
    expect(queue.bytes).toBeLessThan(600);
    expect(told()).toEqual(['a:3 u/0…', 'a:4 u/1…', 'a:5 u/2+u/9…', 'a:6']);
    expect(queue.size).toBe(4);
    expect(queue.ack('a', 6)).toBe(4);
    expect([queue.size, queue.bytes, queue.hasUnsent]).toEqual([0, 0, false]);
  });

  test('a collapsed hint asks for the stream to be read, whatever the connection has', () => {
    const { queue, delivery, hint } = setup(25);
    queue.offer(delivery('a', 1, 500));
    queue.offer(hint('a', 5, ['u/1']));
    expect(queue.take(10, 1_000, 0).at(-1)?.message).toEqual({
      position: 5,
      class: 'CLASS_DURABLE',
      streams: [{ stream: 'u/1', prev: 5 }],
      without_body: true,
    });
  });

  test('collapsed hints keep their place in their lane, so that comet takes none for a repetition', () => {
    const { queue, delivery, hint, told } = setup(1_000);
    queue.offer(delivery('a', 1, 700));
    queue.offer(hint('a', 2, ['u/1'], { bytes: 500 }));
    queue.offer(hint('b', 1, ['u/2'], { bytes: 500 }));
    queue.offer(delivery('a', 3));
    queue.offer(hint('a', 4, ['u/3'], { bytes: 500 }));
    queue.offer(delivery('b', 2));
    expect(told(2)).toEqual(['a:1', 'a:2 u/1…']);
    expect(told()).toEqual(['a:3', 'a:4 u/3…', 'b:1 u/2…', 'b:2']);
  });

  test('after a broken stream collapsed hints stand where they stood', () => {
    const { queue, delivery, hint, told } = setup(1_000);
    queue.offer(delivery('a', 1, 900));
    queue.offer(hint('a', 2, ['u/1'], { bytes: 200 }));
    expect(told(1)).toEqual(['a:1']);
    queue.rewind();
    expect(told()).toEqual(['a:1', 'a:2 u/1…']);
    queue.rewind();
    expect(told()).toEqual(['a:1', 'a:2 u/1…']);
  });

  test('what is also for a room is lost to the room, and the stream keeps its news', () => {
    const { queue, delivery, hint, told, settled } = setup(25);
    queue.offer(delivery('a', 1, 500));
    queue.offer(hint('a', 2, ['u/1'], { forStreamsOnly: false }));
    expect(settled).toEqual([['a:2', 'queue_full']]);
    expect(told()).toEqual(['a:1', 'a:2 u/1…']);
  });

  test('a lane that is given up keeps the news of its streams; everything given up keeps nothing', () => {
    const { queue, hint, told, settled } = setup(1_000);
    for (const position of [1, 2, 3]) queue.offer(hint('a', position, ['u/1']));
    queue.offer(hint('b', 1, ['u/2']));
    expect(told(2)).toEqual(['a:1', 'a:2']);
    expect(queue.giveUpLane('a')).toBe(3);
    expect(settled.map(([, result]) => result)).toEqual(['collapsed', 'collapsed', 'collapsed']);
    expect(told(1)).toEqual(['a:3 u/1…']);
    queue.giveUpLane('b');
    expect(queue.giveUp('comet_silent')).toBe(1);
    expect([queue.size, queue.bytes, queue.hasUnsent]).toEqual([0, 0, false]);
  });

  test('under any load each lane goes out in order, and the last of each stream is told', () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      const { queue, delivery, hint } = setup(2_000);
      let state = seed;
      const draw = (below: number) => (state = (state * 48_271) % 0x7fffffff) % below;
      const newest = new Map<string, string>();
      const toldOf = new Map<string, string>();
      const last = new Map<string, number>();
      const send = (max: number) => {
        for (const one of queue.take(max, 500, 0)) {
          expect(one.position).toBeGreaterThan(last.get(one.lane) ?? -1);
          last.set(one.lane, one.position);
          for (const stream of one.streams) toldOf.set(stream, `${one.lane}:${one.position}`);
          if (draw(2) === 0) queue.ack(one.lane, one.position);
        }
      };
      for (let position = 0; position < 300; position += 1) {
        const lane = `l${draw(3)}`;
        const bytes = draw(400);
        const streams = [`${lane}-${draw(5)}`, `${lane}-${5 + draw(5)}`];
        if (draw(3) === 0) queue.offer(delivery(lane, position, bytes));
        else {
          queue.offer(hint(lane, position, streams, { bytes, forStreamsOnly: draw(4) > 0 }));
          for (const stream of streams) newest.set(stream, `${lane}:${position}`);
        }
        if (draw(6) === 0) send(1 + draw(8));
      }
      while (queue.hasUnsent) send(7);
      expect(toldOf).toEqual(newest);
      for (const [lane, position] of last) queue.ack(lane, position);
      expect([queue.size, queue.bytes]).toEqual([0, 0]);
    }
  });
});
