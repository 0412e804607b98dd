import { describe, expect, test } from '@jest/globals';

import { hostAndPort, listOf, oneOf, userId, wholeNumber } from './arguments.js';

describe('a user id', () => {
  test('keeps all 64 bits', () => {
    expect(userId('9223372036854775807')).toBe('9223372036854775807');
    expect(userId('-9223372036854775808')).toBe('-9223372036854775808');
  });
  test.each(['9223372036854775808', '1.5', '', 'abc', '0x1'])('%p is none', (text) => {
    expect(() => userId(text)).toThrow(/user id/);
  });
});

test('a list is separated by commas, or repeated', () => {
  const users = listOf(userId);
  expect(users('1, 2,', undefined)).toEqual(['1', '2']);
  expect(users('3', ['1'])).toEqual(['1', '3']);
});

test('a number stays within its range', () => {
  expect(wholeNumber(1, 3)('2')).toBe(2);
  expect(() => wholeNumber(1, 3)('4')).toThrow('from 1 to 3');
  expect(() => wholeNumber(1, 3)('two')).toThrow('from 1 to 3');
});

test('an address has a host and a port', () => {
  expect(hostAndPort('[::1]:3119')).toBe('[::1]:3119');
  for (const wrong of ['127.0.0.1', 'http://a:1', 'a:0', 'a:99999', ':1']) {
    expect(() => hostAndPort(wrong)).toThrow('host:port');
  }
});

test('a word is one of its choices', () => {
  expect(oneOf('tcp', 'websocket')('tcp')).toBe('tcp');
  expect(() => oneOf('tcp', 'websocket')('udp')).toThrow('one of tcp, websocket');
});
