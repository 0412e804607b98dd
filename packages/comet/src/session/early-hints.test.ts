import { expect, test } from '@jest/globals';

import { FakeClock } from '../testing/fake-clock.js';
import { EarlyHints } from './early-hints.js';

test('a hint for nobody here is remembered for as long as a handshake may take', () => {
  const clock = new FakeClock();
  const hints = new EarlyHints({ clock, holdMs: 8_000 });
  hints.add('u/1');
  clock.advance(7_999);
  expect([hints.missed('u/1'), hints.missed('u/2')]).toEqual([true, false]);
  hints.add('u/2');
  clock.advance(1);
  expect([hints.missed('u/1'), hints.missed('u/2')]).toEqual([false, true]);
  hints.add('u/3');
  expect(hints.size).toBe(2);
});

test('beyond what can be remembered any stream may have been told of', () => {
  const clock = new FakeClock();
  const hints = new EarlyHints({ clock, holdMs: 8_000 });
  for (let i = 0; i < 10_000; i += 1) hints.add(`u/${i}`);
  expect(hints.missed('u/other')).toBe(false);
  hints.add('u/10000');
  expect(hints.size).toBe(10_000);
  expect(hints.missed('u/0')).toBe(true);
  clock.advance(8_000);
  expect(hints.missed('u/0')).toBe(false);
});
