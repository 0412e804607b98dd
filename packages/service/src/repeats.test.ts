import { expect, test } from '@jest/globals';

import { Repeats } from './repeats.js';

test('the newest names are remembered, older ones forgotten', () => {
  const repeats = new Repeats(2);
  expect([repeats.seen('a'), repeats.seen('a'), repeats.seen('b')]).toEqual([false, true, false]);
  expect([repeats.seen('c'), repeats.seen('b'), repeats.seen('a')]).toEqual([false, true, false]);
});
