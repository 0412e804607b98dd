import { expect, test } from '@jest/globals';

import { MAX_VARIANTS, Variants } from './variants.js';

const PLAIN = new Set([1_000]);
const OTHER = new Set([1_000, 1_001]);

test('connections that get the same bytes have one number, the others have others', () => {
  const variants = new Variants();
  const numbers = [variants.take(0, PLAIN), variants.take(1, PLAIN), variants.take(0, OTHER)];
  expect(new Set(numbers).size).toBe(3);
  expect(numbers).not.toContain(0);
  expect(variants.take(0, PLAIN)).toBe(numbers[0]);
  expect(variants.at(numbers[1] ?? 0)).toMatchObject({ format: 1, accepts: PLAIN });
});

test('a number is free again when the last connection has given it back', () => {
  const variants = new Variants();
  const number = variants.take(0, PLAIN);
  variants.take(0, PLAIN);
  variants.giveBack(number);
  expect(variants.at(number)).toMatchObject({ format: 0, accepts: PLAIN });
  variants.giveBack(number);
  expect(variants.at(number)).toBeUndefined();
  expect(variants.take(1, OTHER)).toBe(number);
});

test('one too many is 0, which is given back too', () => {
  const variants = new Variants();
  const numbers = Array.from({ length: MAX_VARIANTS }, (_, i) => variants.take(0, new Set([i])));
  expect(new Set(numbers).size).toBe(MAX_VARIANTS);
  expect(Math.max(...numbers)).toBe(MAX_VARIANTS);
  expect(variants.take(0, PLAIN)).toBe(0);
  variants.giveBack(0);
  variants.giveBack(7);
  expect(variants.take(0, PLAIN)).toBe(7);
});
