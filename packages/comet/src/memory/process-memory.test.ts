import { setImmediate as turn } from 'node:timers/promises';

import { expect, test } from '@jest/globals';

import { processMemory } from './process-memory.js';

test('what nothing holds any more is collected', async () => {
  const memory = processMemory();
  const held = Array.from({ length: 100 }, () => new WeakRef({ bytes: new Uint8Array(64) }));
  // In the turn in which it is made a WeakRef holds what it refers to.
  await turn();
  await memory.collect();
  expect(held.filter((ref) => ref.deref() !== undefined)).toEqual([]);
  expect(memory.spareBytes()).toBeGreaterThan(0);
  memory.giveBack();
});

test('how busy the loop was is a share', () => {
  const memory = processMemory();
  const share = memory.busyShare();
  expect(share).toBeGreaterThanOrEqual(0);
  expect(share).toBeLessThanOrEqual(1);
});
