import { expect, test } from '@jest/globals';

import type { Beat } from './beat.js';
import { openLoop, type OpenLoopPlan } from './open-loop.js';

const MS = 1_000_000n;

/** Time that passes only while it is waited for, and when a test says so. */
class FakeBeat implements Beat {
  now = 0n;
  wakes = 0;

  nowNs(): bigint {
    return this.now;
  }

  async until(atNs: bigint): Promise<void> {
    this.wakes += 1;
    if (atNs > this.now) this.now = atNs;
  }

  async close(): Promise<void> {}
}

function run(plan: Partial<OpenLoopPlan>, more: { onTake?: (beat: FakeBeat) => void; limit?: number } = {}) {
  const beat = new FakeBeat();
  const end = new AbortController();
  const taken: { dueMs: number; atMs: number }[] = [];
  let held: Promise<void> | undefined;
  let freed = false;
  const done = openLoop(
    { startNs: 0n, perSecond: 1_000, count: 5, graceNs: 1_000n * MS, ...plan },
    {
      beat,
      signal: end.signal,
      take: (_index, dueNs) => {
        taken.push({ dueMs: Number(dueNs) / 1e6, atMs: Number(beat.now) / 1e6 });
        more.onTake?.(beat);
      },
      full: () => {
        if (taken.length < (more.limit ?? Infinity) || freed) return undefined;
        held ??= new Promise((resolve) =>
          setImmediate(() => {
            beat.now += 50n * MS;
            freed = true;
            resolve();
          }),
        );
        return held;
      },
    },
  );
  return { beat, end, taken, done };
}

test('each push is handed over at its time', async () => {
  const { taken, done } = run({});
  expect(await done).toBe(5);
  expect(taken).toEqual([0, 1, 2, 3, 4].map((ms) => ({ dueMs: ms, atMs: ms })));
});

test('what a stall held up is handed over at once, with the times at which it was due', async () => {
  const { taken, done } = run(
    {},
    {
      onTake: (beat) => {
        if (beat.now === 1n * MS) beat.now = 10n * MS;
      },
    },
  );
  await done;
  expect(taken).toEqual([
    { dueMs: 0, atMs: 0 },
    { dueMs: 1, atMs: 1 },
    { dueMs: 2, atMs: 10 },
    { dueMs: 3, atMs: 10 },
    { dueMs: 4, atMs: 10 },
  ]);
});

test('while no more is taken it waits, and that counts too', async () => {
  const { taken, done } = run({}, { limit: 2 });
  await done;
  expect(taken.map(({ dueMs }) => dueMs)).toEqual([0, 1, 2, 3, 4]);
  expect(taken.at(-1)?.atMs).toBeGreaterThanOrEqual(50);
});

test('behind its end it gives up what is late by more than the grace', async () => {
  const { done } = run(
    { graceNs: 1n * MS },
    {
      onTake: (beat) => {
        beat.now += 3n * MS;
      },
    },
  );
  expect(await done).toBeLessThan(5);
});

test('at a high rate pushes leave together, without a wake-up each', async () => {
  const { beat, taken, done } = run({ perSecond: 100_000, count: 1_000 });
  expect(await done).toBe(1_000);
  expect(beat.wakes).toBeLessThan(30);
  expect(Math.max(...taken.map(({ dueMs, atMs }) => atMs - dueMs))).toBeLessThanOrEqual(0.5);
});

test('an abort ends it', async () => {
  const { end, done } = run({ count: 1_000_000 });
  end.abort();
  expect(await done).toBeLessThan(1_000_000);
});
