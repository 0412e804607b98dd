import { expect, test } from '@jest/globals';

import { HighWater } from './high-water.js';

test('a position is had once, per epoch, topic and partition', () => {
  const marks = new HighWater();
  expect([5, 5, 4, 6, 1_024].map((position) => marks.advance('e', 't', 0, position))).toEqual([
    true,
    false,
    false,
    true,
    true,
  ]);
  expect(marks.advance('e', 't', 1, 5)).toBe(true);
  expect(marks.advance('e', 'u', 0, 5)).toBe(true);
  expect(marks.advance('f', 't', 0, 0)).toBe(true);
  expect(marks.mark('e', 't', 0)).toBe(1_024);
});

test('only the latest epochs are remembered', () => {
  const marks = new HighWater();
  for (let epoch = 0; epoch < 10; epoch += 1) marks.advance(`${epoch}`, 't', 0, 1);
  expect(marks.mark('0', 't', 0)).toBeUndefined();
  expect(marks.mark('9', 't', 0)).toBe(1);
});
