import { describe, expect, test } from '@jest/globals';

import { AcceptSets, MAX_ACCEPTS, parseOperations } from './accepts.js';

describe('operations', () => {
  test.each([
    ['', []],
    ['1', [1]],
    ['1000,-5,+7,2147483647', [1_000, -5, 7, 2_147_483_647]],
    ['1,', undefined],
    [',', undefined],
    ['1, 2', undefined],
    ['x', undefined],
    ['2147483648', undefined],
    ['1.0', undefined],
    ['0x10', undefined],
    ['1e3', undefined],
  ])('%j is read as %j', (text, operations) => {
    expect(parseOperations(text)).toEqual(operations);
  });

  test('equal lists share one set, and no set ever changes', () => {
    const sets = new AcceptSets();
    const set = sets.of([2, 1]);
    expect(sets.of([1, 2, 2])).toBe(set);
    const more = sets.with(set, [3]);
    expect([...set]).toEqual([1, 2]);
    expect(sets.without(more ?? set, [3])).toBe(set);
    expect(more).toEqual(new Set([1, 2, 3]));
  });

  test('a connection accepts a bounded number', () => {
    const sets = new AcceptSets();
    const many = sets.of(Array.from({ length: MAX_ACCEPTS }, (_, i) => i));
    expect(sets.with(many, [-1])).toBeUndefined();
    expect(sets.with(many, [0, 1])).toEqual(many);
  });
});
