import { expect, test } from '@jest/globals';

import { Random } from '../random.js';
import type { Device } from './device.js';
import { type Habit, HABITS, live } from './habit.js';

/** A device that says what it was told; after so many words the signal aborts. */
function device(said: string[], end: AbortController, most: number): Device {
  const say = (what: string) => (): void => {
    said.push(what);
    if (said.length === most) end.abort();
  };
  return {
    log: undefined as never,
    isConnected: true,
    start: say('start'),
    drop: say('drop'),
    leave: say('leave'),
    comeBack: say('come back'),
    freeze: say('freeze'),
    thaw: say('thaw'),
    stop: say('stop'),
  };
}

test.each([
  ['stays', []],
  ['reads slowly', ['freeze', 'thaw']],
] as const)('who %s is told so', async (habit, expected) => {
  const said: string[] = [];
  const end = new AbortController();
  await live(device(said, end, 1), habit, new Random(1), end.signal);
  expect(said).toEqual(expected);
});

test.each(HABITS)('who %s is there and reads when it is over', async (habit: Habit) => {
  const said: string[] = [];
  const end = new AbortController();
  const living = live(device(said, end, 1_000), habit, new Random(1), end.signal);
  end.abort();
  await living;
  expect(['leave', 'freeze']).not.toContain(said.at(-1));
});
