import { expect, test } from '@jest/globals';

import { atMost } from './at-most.js';

test('goes on when the work is done, when it fails, and when it takes too long', async () => {
  const order: string[] = [];
  await atMost(Promise.resolve(), 60_000).then(() => order.push('done'));
  await atMost(Promise.reject(new Error('no')), 60_000).then(() => order.push('failed'));
  await atMost(new Promise(() => undefined), 1).then(() => order.push('late'));
  expect(order).toEqual(['done', 'failed', 'late']);
});
