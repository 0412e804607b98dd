import { expect, test } from '@jest/globals';

import { takeInstances } from './arguments.js';

test('without --instances the arguments stay as they are, and this process is the node', () => {
  expect(takeInstances(['--tcp.port', '1', '--demo'])).toEqual({
    argv: ['--tcp.port', '1', '--demo'],
    count: undefined,
    isInstance: false,
  });
});

test.each([
  [['--instances', '4', '--demo'], 4],
  [['--instances=1', '--demo'], 1],
  [['--demo', '--instances', 'auto'], 6],
])('%j is taken out', (argv, count) => {
  expect(takeInstances(argv, () => 6)).toEqual({ argv: ['--demo'], count, isInstance: false });
});

test('one of several runs no further ones', () => {
  expect(takeInstances(['--instances', '4', '--is-instance'])).toEqual({
    argv: [],
    count: undefined,
    isInstance: true,
  });
});

test.each(['0', '65', '-1', '1.5', 'two', ''])('--instances %j is refused', (text) => {
  expect(() => takeInstances([`--instances=${text}`])).toThrow(
    '--instances must be a whole number from 1 to 64, or auto: one for each core',
  );
});

test('--instances without a number is refused', () => {
  expect(() => takeInstances(['--instances'])).toThrow('--instances must be');
});
