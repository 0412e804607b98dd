import { beforeEach, describe, expect, test } from '@jest/globals';

import { AuthReply, Deliver, GapReason, RoomAnswer } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';

import { DeliveryJudge } from '../harness/version2/delivery-judge.js';

/** The suite finds faults of delivery by its judge alone: it must see each of them. */
describe('the judge of deliveries', () => {
  const stream = 'u/7';
  let breaches: string[];
  let judge: DeliveryJudge;

  beforeEach(() => {
    breaches = [];
    judge = new DeliveryJudge((what) => breaches.push(what));
    const auth = { inbox: { stream, epoch: 'e', position: 4 }, windowEntries: 3, windowBytes: 100 };
    judge.opened(AuthReply.decode(AuthReply.encode(auth)));
  });

  const entries = (...positions: number[]) =>
    positions.map((position) => ({ position, body: Buffer.alloc(10) }));
  const deliver = (frame: Write<typeof Deliver>): void =>
    judge.delivered(Deliver.decode(Deliver.encode({ stream, epoch: 'e', ...frame })));
  const joined = (answer: Write<typeof RoomAnswer>): void =>
    judge.joined(RoomAnswer.decode(RoomAnswer.encode(answer)));

  test('finds nothing in frames that go on where the one before ended, within the window', () => {
    deliver({ after: 4, entries: entries(6, 9), through: 9 });
    deliver({ after: 9, through: 12 });
    judge.acked({ stream, epoch: 'e', position: 9 });
    deliver({ after: 12, entries: entries(13, 14, 15), through: 20 });
    deliver({ after: 20, gap: { reason: GapReason.Retention, after: 20, through: 30 }, through: 30 });
    judge.acked({ stream, epoch: 'e', position: 30 });
    const gap = { reason: GapReason.Epoch, after: -1, through: 2 };
    deliver({ epoch: 'f', after: -1, gap, entries: entries(3), through: 3 });
    joined({ room: 'a://b' });
    deliver({ stream: 'r/a://b', epoch: '', entries: entries(0) });
    expect(breaches).toEqual([]);
  });

  test.each<[string, Write<typeof Deliver>]>([
    ['a hole', { after: 5, entries: entries(6), through: 6 }],
    ['what was sent before', { after: 4, entries: entries(4), through: 4 }],
    ['positions out of order', { after: 4, entries: entries(7, 6), through: 7 }],
    ['an end ahead of the last entry', { after: 4, entries: entries(6), through: 5 }],
    [
      'an entry within the gap',
      { after: 4, gap: { reason: 1, after: 4, through: 8 }, entries: entries(8), through: 9 },
    ],
    ['another epoch without a gap', { epoch: 'f', after: -1, through: 2 }],
    ['more entries than the window', { after: 4, entries: entries(5, 6, 7, 8), through: 8 }],
    [
      'more bytes than the window',
      { after: 4, entries: [...entries(5), { position: 6, body: Buffer.alloc(91) }], through: 6 },
    ],
    ['a stream that is not followed', { stream: 'u/8', after: 4, through: 5 }],
    ['a room that is not joined', { stream: 'r/a://b', epoch: '', entries: entries(0) }],
    ['a position without an epoch', { stream: '', epoch: '', entries: entries(5) }],
  ])('sees %s', (_, frame) => {
    deliver(frame);
    expect(breaches).toHaveLength(1);
  });

  test('sees a frame behind the answer to leaving, and a room that was joined at another place', () => {
    joined({ room: 'a://b', durable: true, epoch: 'e', position: 5 });
    deliver({ stream: 'r/a://b', after: 5, entries: entries(6), through: 6 });
    expect(breaches).toEqual([]);
    joined({ room: 'a://b', durable: true, epoch: 'e', position: 5 });
    deliver({ stream: 'r/a://b', after: 6, through: 7 });
    expect(breaches).toHaveLength(1);
    judge.left('a://b');
    deliver({ stream: 'r/a://b', after: 7, through: 8 });
    expect(breaches).toHaveLength(2);
  });
});
