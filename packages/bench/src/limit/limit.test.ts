import { expect, test } from '@jest/globals';

import { behind, mostWithoutLoss } from './most-row.js';
import { busyWarning } from './run.js';
import { median, ratios, rowOf, type RowPlan } from './row.js';

test('the middle of the rounds counts', () => {
  expect(median([5, 1, 3])).toBe(3);
  expect(median([4, 1, 3, 2])).toBe(2.5);
  expect(median([])).toBeNaN();
});

const PLAN: RowPlan = {
  what: 'cost',
  goim: '1.5×',
  bound: 'most',
  limit: 1.25,
  rounds: [1.3, 1.1, 1.2],
  text: (value) => `${value.toFixed(2)}×`,
};

test('a row is reached within its bound, by the median', () => {
  expect(rowOf(PLAN)).toMatchObject({ target: '≤ 1.25×', figure: '1.20×', reached: 'yes' });
  expect(rowOf(PLAN).ratio).toBeCloseTo(0.96);
  expect(rowOf({ ...PLAN, limit: 1.15 }).reached).toBe('no');
  expect(rowOf({ ...PLAN, bound: 'least' })).toMatchObject({ target: '≥ 1.25×', reached: 'no' });
  expect(rowOf({ ...PLAN, bound: 'least', limit: 1 }).reached).toBe('yes');
  expect(rowOf({ ...PLAN, limit: 0, rounds: [0] })).toMatchObject({ ratio: 1, reached: 'yes' });
  expect(rowOf({ ...PLAN, limit: 0, rounds: [2] }).reached).toBe('no');
});

test('a figure with losses is none, and neither is one that was not measured', () => {
  const faults = ['3 of 100 messages were lost', '3 of 100 messages were lost'];
  expect(rowOf({ ...PLAN, note: 'n', faults })).toMatchObject({
    reached: 'no',
    note: 'n; 3 of 100 messages were lost',
  });
  expect(rowOf({ ...PLAN, rounds: [] })).toMatchObject({ reached: 'no', figure: 'not measured' });
});

test('what misses the target itself may reach it by what the same machine gave another in the same run', () => {
  const beside = { name: 'C', rounds: [1, 1, 1], limit: 1.2 } as const;
  const found = rowOf({ ...PLAN, limit: 1, beside });
  expect(found).toMatchObject({ target: '≤ 1.00×', figure: '1.20×', reached: 'for this machine' });
  expect(found.beside).toMatchObject({ figure: '1.20× C', target: '≤ 1.20×', isReached: true });
  expect(rowOf({ ...PLAN, beside }).reached).toBe('yes');
  expect(rowOf({ ...PLAN, limit: 1, beside: { ...beside, limit: 1.1 } }).reached).toBe('no');
  expect(rowOf({ ...PLAN, limit: 1, beside: { ...beside, rounds: [] } }).reached).toBe('no');
  expect(rowOf({ ...PLAN, limit: 1, beside, faults: ['lost'] }).reached).toBe('no');
});

test('what has no target as a ratio is told, and does not count', () => {
  const found = rowOf({ ...PLAN, limit: 1, beside: { name: 'bare', rounds: [2, 2, 2] } });
  expect(found).toMatchObject({ reached: 'no', beside: { figure: '0.60× bare', target: '' } });
});

test('each round is held against the same round of the other', () => {
  expect(ratios([2, 6], [1, 2])).toEqual([2, 3]);
});

test('the most without loss is found between the last rate that was kept and the first that was not', async () => {
  const tried: number[] = [];
  const most = await mostWithoutLoss(async (rate) => {
    tried.push(rate);
    return rate <= 900 ? rate * 1_000 : undefined;
  });
  expect(tried).toEqual([400, 560, 784, 1098, 941, 863]);
  expect(most).toBe(863_000);
});

test('where the first rate is too high, the most is looked for below it', async () => {
  const tried: number[] = [];
  const most = await mostWithoutLoss(async (rate) => {
    tried.push(rate);
    return rate <= 120 ? rate : undefined;
  });
  expect(tried).toEqual([400, 200, 100, 150, 125]);
  expect(most).toBe(100);
  expect(await mostWithoutLoss(async () => undefined)).toBeUndefined();
});

test('a server that is late is behind, though all came', () => {
  const latency = { count: 9, p50Ms: 1, p90Ms: 2, p99Ms: 150, p999Ms: 900, maxMs: 900 };
  expect(behind({ latency, lastAfterMs: 150 })).toBeUndefined();
  expect(behind({ latency, lastAfterMs: 700 })).toBe(
    'the last message came 700 ms after the last push was due',
  );
  expect(behind({ latency: { ...latency, p99Ms: 650 }, lastAfterMs: 10 })).toBe('p99 650 ms');
});

test('a machine that is busy with other work is told of', () => {
  expect(busyWarning(0.4, 2)).toEqual([]);
  expect(busyWarning(17.3, 2)).toEqual([expect.stringContaining('load 17.3 on 2 cores')]);
});
