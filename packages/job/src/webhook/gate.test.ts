import { beforeEach, expect, test } from '@jest/globals';

import { TestClock } from '../testing/test-clock.js';
import { Gate } from './gate.js';

let clock: TestClock;
let timers: { atMs: number; run: () => void }[];
let gate: Gate;
let went: string[];
const never = new AbortController().signal;

beforeEach(() => {
  clock = new TestClock();
  timers = [];
  went = [];
  const after = (ms: number, run: () => void): void => {
    timers.push({ atMs: clock.monotonicMs() + ms, run });
  };
  gate = new Gate({ concurrency: 2, baseBackoffMs: 100, clock, after, random: () => 1 });
});

const enter = async (name: string, signal = never): Promise<void> => {
  went.push((await gate.enter(signal)) ? name : `${name} gave up`);
};
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
};
const pass = async (ms: number): Promise<void> => {
  clock.advance(ms);
  const due = timers.filter(({ atMs }) => atMs <= clock.monotonicMs());
  timers = timers.filter((timer) => !due.includes(timer));
  for (const { run } of due) run();
  await settle();
};
const breakDown = async (): Promise<void> => {
  for (let failure = 0; failure < 8; failure += 1) {
    await gate.enter(never);
    gate.leave(false);
  }
  expect(gate.down).toBe(true);
};

test('so many at once; who waits longest is next', async () => {
  for (const name of ['a', 'b', 'c', 'd']) void enter(name);
  await settle();
  expect(went).toEqual(['a', 'b']);
  gate.leave(true);
  await settle();
  expect(went).toEqual(['a', 'b', 'c']);
});

test('an endpoint that is down is asked by one at a time, ever more seldom, and all go on when it is back', async () => {
  await breakDown();
  let recovered = false;
  void gate.recovered.wait().then(() => (recovered = true));
  for (const name of ['a', 'b', 'c']) void enter(name);
  await pass(99);
  expect(went).toEqual([]);
  await pass(1);
  expect(went).toEqual(['a']);
  gate.leave(false);
  await pass(199);
  expect(went).toEqual(['a']);
  await pass(1);
  expect(went).toEqual(['a', 'b']);
  gate.leave(true);
  void enter('d');
  await settle();
  expect(went).toEqual(['a', 'b', 'c', 'd']);
  expect(recovered).toBe(true);
});

test('what an endpoint asks for holds all back', async () => {
  await gate.enter(never);
  gate.leave(false, 5_000);
  void enter('a');
  await pass(4_999);
  expect(went).toEqual([]);
  await pass(1);
  expect(went).toEqual(['a']);
});

test('who gives up leaves the queue', async () => {
  const end = new AbortController();
  void enter('a');
  void enter('b');
  void enter('c', end.signal);
  void enter('d');
  end.abort();
  gate.leave(undefined);
  await settle();
  expect(went).toEqual(['a', 'b', 'c gave up', 'd']);
  expect(await gate.enter(end.signal)).toBe(false);
});
