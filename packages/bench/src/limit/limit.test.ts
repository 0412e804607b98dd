import { expect, test } from '@jest/globals';

import { ratios } from './fan-out.js';
import { mostWithoutLoss } from './room-rows.js';
import { median, rowOf, type RowPlan } from './row.js';

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
  expect(rowOf(PLAN)).toMatchObject({ target: '≤ 1.25×', figure: '1.20×', isReached: true });
  expect(rowOf(PLAN).ratio).toBeCloseTo(0.96);
  expect(rowOf({ ...PLAN, limit: 1.15 }).isReached).toBe(false);
  expect(rowOf({ ...PLAN, bound: 'least' })).toMatchObject({ target: '≥ 1.25×', isReached: false });
  expect(rowOf({ ...PLAN, bound: 'least', limit: 1 }).isReached).toBe(true);
  expect(rowOf({ ...PLAN, limit: 0, rounds: [0] })).toMatchObject({ ratio: 1, isReached: true });
  expect(rowOf({ ...PLAN, limit: 0, rounds: [2] }).isReached).toBe(false);
});

test('a figure with losses is none, and neither is one that was not measured', () => {
  const faults = ['3 of 100 messages were lost', '3 of 100 messages were lost'];
  expect(rowOf({ ...PLAN, note: 'n', faults })).toMatchObject({
    isReached: false,
    note: 'n; 3 of 100 messages were lost',
  });
  expect(rowOf({ ...PLAN, rounds: [] })).toMatchObject({ isReached: false, figure: 'not measured' });
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
  expect(tried).toEqual([400, 500, 625, 781, 976, 879, 928]);
  expect(most).toBe(879_000);
  expect(await mostWithoutLoss(async () => undefined)).toBeUndefined();
});
