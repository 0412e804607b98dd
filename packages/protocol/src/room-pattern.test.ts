import { describe, expect, test } from '@jest/globals';

import { matchesRoom } from './room-pattern.js';

describe('a room pattern', () => {
  test.each([
    ['chat://1', 'chat://1', true],
    ['chat://1', 'chat://2', false],
    ['chat://*', 'chat://', true],
    ['chat://*', 'chat://a/b', true],
    ['chat://*', 'chatter://1', false],
    ['*', '', true],
    ['*://vip-*', 'live://vip-7', true],
    ['*://vip-*', 'live://7', false],
    // The parts must not overlap.
    ['ab*ba', 'aba', false],
    ['a*b*b', 'ab', false],
  ])('%s on %s: %s', (pattern, room, matches) => {
    expect(matchesRoom(room, pattern)).toBe(matches);
  });
});
