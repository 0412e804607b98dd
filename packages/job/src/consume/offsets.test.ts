import { describe, expect, test } from '@jest/globals';

import { Offsets } from './offsets.js';

const limits = { maxRecords: 4, maxBytes: 1_000 };

describe('offsets of one partition', () => {
  test('nothing may be committed before the first record is done', () => {
    const offsets = new Offsets(limits);
    const record = offsets.open(7, 10, 0);
    expect(offsets.committable).toBeUndefined();
    offsets.release(record);
    expect(offsets.committable).toBe(8);
  });

  test('a record that finished early is committed only with those before it', () => {
    const offsets = new Offsets(limits);
    const [first, second, third] = [offsets.open(1, 1, 0), offsets.open(2, 1, 0), offsets.open(3, 1, 0)];
    offsets.release(third);
    offsets.release(second);
    expect(offsets.committable).toBeUndefined();
    offsets.release(first);
    expect(offsets.committable).toBe(4);
  });

  test('a record is done when its routing and each of its comets are', () => {
    const offsets = new Offsets(limits);
    const record = offsets.open(1, 1, 0);
    offsets.hold(record);
    offsets.hold(record);
    offsets.release(record);
    offsets.release(record);
    expect(offsets.committable).toBeUndefined();
    expect(offsets.undone).toBe(1);
    offsets.release(record);
    expect(offsets.committable).toBe(2);
    expect(offsets.undone).toBe(0);
    expect(() => offsets.release(record)).toThrow(RangeError);
  });

  test('gaps between offsets are not waited for', () => {
    const offsets = new Offsets(limits);
    const [first, second] = [offsets.open(10, 1, 0), offsets.open(25, 1, 0)];
    offsets.release(first);
    expect(offsets.committable).toBe(11);
    offsets.release(second);
    expect(offsets.committable).toBe(26);
    expect(() => offsets.open(25, 1, 0)).toThrow(RangeError);
  });

  test('it is full by records or by bytes, and progress is told when the span shrinks', () => {
    let progress = 0;
    const offsets = new Offsets(limits, () => (progress += 1));
    const large = offsets.open(1, 1_000, 50);
    const small = offsets.open(2, 1, 60);
    expect(offsets.full).toBe(true);
    offsets.release(small);
    expect(offsets.full).toBe(true);
    expect(progress).toBe(0);
    expect(offsets.oldestTimestampMs).toBe(50);
    offsets.release(large);
    expect(offsets.full).toBe(false);
    expect(progress).toBe(1);
    expect(offsets.oldestTimestampMs).toBeUndefined();
    for (let offset = 3; offset < 7; offset += 1) offsets.open(offset, 1, 0);
    expect(offsets.full).toBe(true);
  });

  test('whatever the order of finishing, committable never passes something undone', () => {
    const offsets = new Offsets({ maxRecords: 10_000, maxBytes: 1e9 });
    const open = Array.from({ length: 5_000 }, (_, offset) => offsets.open(offset * 2, 1, 0));
    let seed = 42;
    const undone = new Set(open);
    while (undone.size > 0) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      const left = open.filter((record) => undone.has(record)).slice(0, 50);
      const record = left[seed % left.length]!;
      offsets.release(record);
      undone.delete(record);
      const lowest = left.find((one) => undone.has(one));
      if (lowest) expect(offsets.committable ?? 0).toBeLessThanOrEqual(lowest.offset);
    }
    expect(offsets.committable).toBe(9_999);
  });
});
