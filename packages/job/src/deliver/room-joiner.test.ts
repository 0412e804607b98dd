import { expect, test } from '@jest/globals';

import { joinByPartition } from './room-joiner.js';

test('what goes out together is one batch a partition, each in its order', () => {
  const delivery = (partition: number, position: number) => ({
    lane: `t/${partition}`,
    topic: 't',
    partition,
    position,
    message: { position },
    streams: [],
    forStreamsOnly: false,
    bytes: 1,
    expireAtMs: 0,
    settle: () => undefined,
  });
  expect(
    joinByPartition([delivery(1, 5), delivery(2, 1), delivery(1, 6), delivery(1, 9), delivery(2, 2)]),
  ).toEqual([
    { topic: 't', partition: 1, deliveries: [{ position: 5 }, { position: 6 }, { position: 9 }] },
    { topic: 't', partition: 2, deliveries: [{ position: 1 }, { position: 2 }] },
  ]);
  expect(joinByPartition([])).toEqual([]);
});
