import { expect, test } from '@jest/globals';

import { SharedPush } from '../delivery/encoded.js';
import { HeldHints, HintRoom, type HeldHint } from './held-hints.js';

const held = (position: number, bytes = 1): HeldHint => ({
  hint: { epoch: 'e', position, prev: position - 1, keys: [] },
  push: new SharedPush({
    epoch: 'e',
    position,
    operation: 5,
    body: Buffer.alloc(bytes),
    expired: false,
    about: undefined,
  }),
});

test('hints come out in the order in which they came, once', () => {
  const hints = new HeldHints(new HintRoom());
  const all = [held(1), held(2), held(3)];
  for (const one of all) expect(hints.add(one)).toBe(true);
  expect(hints.drain()).toEqual(all);
  expect(hints.drain()).toEqual([]);
});

test('one stream holds 64 at most', () => {
  const hints = new HeldHints(new HintRoom());
  for (let at = 0; at < 64; at += 1) expect(hints.add(held(at))).toBe(true);
  expect(hints.add(held(64))).toBe(false);
});

test('all streams share a room, of hints and of bytes, which is given back', () => {
  const room = new HintRoom({ hints: 2, bytes: 10 });
  const [one, other] = [new HeldHints(room), new HeldHints(room)];
  expect([one.add(held(1, 8)), other.add(held(2, 3)), other.add(held(3, 2))]).toEqual([true, false, true]);
  expect(one.add(held(4, 0))).toBe(false);
  one.drain();
  expect([one.add(held(5, 8)), one.add(held(6, 0))]).toEqual([true, false]);
});
