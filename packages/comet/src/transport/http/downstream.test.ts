import { expect, test } from '@jest/globals';

import { Downstream } from './downstream.js';

const bytes = (length: number): Uint8Array => new Uint8Array(length);

test('what was taken counts until it has left', () => {
  const downstream = new Downstream(() => undefined);
  downstream.write(bytes(10));
  downstream.write(bytes(20));
  expect(downstream.take(15)).toHaveLength(1);
  expect([downstream.writableLength, downstream.empty]).toEqual([30, false]);
  downstream.left();
  expect(downstream.writableLength).toBe(20);
});

test('one piece is taken whatever its size', () => {
  const downstream = new Downstream(() => undefined);
  downstream.write(bytes(100));
  downstream.write(bytes(1));
  expect(downstream.take(10)).toHaveLength(1);
  expect(downstream.take(10)).toHaveLength(1);
  expect(downstream.take(10)).toHaveLength(0);
});

test('it is told that there is something, once it is uncorked', () => {
  let told = 0;
  const downstream = new Downstream(() => (told += 1));
  downstream.cork();
  downstream.write(bytes(1));
  downstream.write(bytes(1));
  expect(told).toBe(0);
  downstream.uncork();
  expect(told).toBe(1);
  downstream.write(bytes(1));
  expect(told).toBe(2);
});

test('drain is told when all has left, after much had waited', () => {
  let drains = 0;
  const downstream = new Downstream(() => undefined);
  downstream.on('drain', () => (drains += 1));
  downstream.write(bytes(10_000));
  downstream.take(1);
  downstream.left();
  expect(drains).toBe(0);
  downstream.write(bytes(10_000));
  downstream.write(bytes(10_000));
  downstream.take(1);
  downstream.left();
  expect(drains).toBe(0);
  downstream.take(1);
  downstream.left();
  downstream.left();
  expect(drains).toBe(1);
});

test('behind its end nothing is taken, and what waited still is', () => {
  const downstream = new Downstream(() => undefined);
  downstream.write(bytes(1));
  downstream.end();
  downstream.write(bytes(1));
  expect([downstream.writableEnded, downstream.writableLength]).toEqual([true, 1]);
  downstream.discard();
  expect([downstream.writableLength, downstream.take(10)]).toEqual([0, []]);
});
