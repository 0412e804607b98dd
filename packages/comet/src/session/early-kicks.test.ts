import { expect, test } from '@jest/globals';
import { CloseCode } from '@halley/protocol/close-code';

import { FakeClock } from '../testing/fake-clock.js';
import { EarlyKicks } from './early-kicks.js';

test('kicks are remembered for the time of a handshake, each for one connection', () => {
  const clock = new FakeClock();
  const kicks = new EarlyKicks({ clock, holdMs: 1_000 });
  const kick = { code: CloseCode.TakenOver, reason: '' };
  kicks.add('a', kick);
  clock.advance(600);
  kicks.add('b', kick);
  expect(kicks.take('b')).toMatchObject(kick);
  expect(kicks.take('b')).toBeUndefined();
  clock.advance(600);
  kicks.add('c', kick);
  expect(kicks.take('a')).toBeUndefined();
  expect(kicks.size).toBe(1);
  for (let i = 0; i < 20_000; i += 1) kicks.add(`${i}`, kick);
  expect(kicks.size).toBe(10_000);
});
