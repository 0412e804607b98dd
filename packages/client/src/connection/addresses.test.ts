import { expect, test } from '@jest/globals';

import { FakeClock } from '../testing/fake-clock.js';
import { Addresses, addressOf } from './addresses.js';
import { withKey } from './token.js';

test.each([
  ['b', 'wss://a.example:3103/sub', 'wss://b:3103/sub'],
  ['b:9', 'wss://a.example:3103/sub', 'wss://b:9/sub'],
  ['b', 'tcp://10.0.0.1:3101', 'tcp://b:3101'],
  ['b', 'wss://a', 'wss://b'],
  ['b:1', 'wss://a/sub', 'wss://b:1/sub'],
  ['[::2]:7', 'tcp://[::1]:3101', 'tcp://[::2]:7'],
  ['10.0.0.2', 'tcp://[::1]:3101', 'tcp://10.0.0.2:3101'],
])('the node %s beside %s is %s', (node, address, expected) => {
  expect(addressOf(node, address)).toBe(expected);
});

test('given addresses are shuffled, and the one that failed longest ago is next', async () => {
  const draws = [0.9, 0.1, 0.5];
  const addresses = new Addresses(['a', 'b', 'c'], undefined, new FakeClock(() => draws.shift() ?? 0));
  expect(await addresses.next()).toBe('b');
  addresses.failed('b');
  expect(await addresses.next()).toBe('c');
  addresses.failed('c');
  addresses.failed('a');
  expect(await addresses.next()).toBe('b');
});

test('the order of nodes counts', async () => {
  const addresses = new Addresses([], () => ['b', 'a'], new FakeClock());
  expect(await addresses.next()).toBe('b');
  addresses.failed('b');
  expect(await addresses.next()).toBe('a');
});

test.each([
  ['{"mid":9223372036854775807}', '{"mid":9223372036854775807,"key":"k"}'],
  ['{"mid":1,"key":""}', '{"mid":1,"key":"","key":"k"}'],
  ['{"mid":1,"key":"mine"}', '{"mid":1,"key":"mine"}'],
  [' { } ', ' { "key":"k"}'],
  ['a.b.c', 'a.b.c'],
])('the token %s with a key is %s', (token, expected) => {
  expect(withKey(token, 'k')).toBe(expected);
});
