import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import type { TransportName } from '@halley/client/transport/transport';

import { Random } from '../random.js';
import { Mover } from './sdk-transports.js';

beforeEach(() => {
  jest.useFakeTimers();
});

afterEach(() => {
  jest.useRealTimers();
});

test('a client is moved every few seconds, also when one does not get through, until it is stopped', async () => {
  const asked: TransportName[] = [];
  const mover = new Mover(['websocket', 'sse', 'poll'], new Random(1), async (to) => {
    asked.push(to);
    throw new Error('does not get through');
  });
  mover.start();
  await jest.advanceTimersByTimeAsync(999);
  expect(asked).toEqual([]);
  await jest.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBeGreaterThan(5);
  expect(new Set(asked)).toEqual(new Set(['websocket', 'sse', 'poll']));
  const { length } = asked;
  mover.stop();
  await jest.advanceTimersByTimeAsync(60_000);
  expect(asked.length).toBe(length);
});
