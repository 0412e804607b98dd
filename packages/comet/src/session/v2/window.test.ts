import { describe, expect, test } from '@jest/globals';

import { Window } from './window.js';

const window = (windowEntries: number, windowBytes: number): Window =>
  new Window({ windowEntries, windowBytes });

describe('a window', () => {
  test('admits entries up to its number, and is open again once half of them were handled', () => {
    const one = window(4, 1_000);
    for (let position = 0; position < 4; position += 1) {
      expect(one.admits(1)).toBe(true);
      one.add(position, 1);
    }
    expect(one.admits(1)).toBe(false);
    expect([one.full, one.freeEntries, one.freeBytes]).toEqual([true, 0, 996]);
    one.acked(0);
    expect([one.full, one.entries]).toEqual([true, 3]);
    one.acked(1);
    expect([one.full, one.entries, one.bytes]).toEqual([false, 2, 2]);
  });

  test('admits bytes up to its size, and one entry of any size alone', () => {
    const one = window(100, 10);
    expect(one.admits(50)).toBe(true);
    one.add(7, 50);
    expect([one.admits(1), one.full, one.freeBytes]).toEqual([false, true, 0]);
    one.acked(6);
    expect(one.full).toBe(true);
    one.acked(7);
    expect([one.full, one.bytes]).toEqual([false, 0]);
  });

  test('of one entry takes one after another', () => {
    const one = window(1, 10);
    for (let position = 0; position < 5; position += 1) {
      expect(one.admits(1)).toBe(true);
      one.add(position, 1);
      expect(one.admits(1)).toBe(false);
      one.acked(position);
    }
  });

  test('counts right however many went through it', () => {
    const one = window(10, 1_000);
    for (let position = 0; position < 1_000; position += 1) {
      one.add(position * 1_024, 3);
      one.acked((position - 5) * 1_024 + 7);
      expect(one.entries).toBe(Math.min(position + 1, 5));
      expect(one.bytes).toBe(3 * one.entries);
    }
    one.clear();
    expect([one.entries, one.bytes, one.full]).toEqual([0, 0, false]);
  });
});
