import { describe, expect, test } from '@jest/globals';
import type { RoomId } from '@halley/protocol/ids';

import { roomGrants } from './room-grants.js';

describe('the rooms of a token', () => {
  const may = (room: string, ...patterns: string[]): boolean =>
    roomGrants({ anyRoom: false, roomGrants: patterns })(room as RoomId);

  test.each([
    ['live://1', 'live://1'],
    ['live://1', 'live://*'],
    ['live://', 'live://*'],
    ['team-7://chat', 'team-*://chat'],
    ['team-://chat', 'team-*://chat'],
    ['a/b/c/b', 'a*b'],
    ['a-x-b-y-c', 'a*b*c'],
    ['tenant/7/x', '*/7/*'],
  ])('%s is granted by %s', (room, pattern) => {
    expect(may(room, 'other', pattern)).toBe(true);
  });

  test.each([
    ['live://2', 'live://1'],
    ['live:/', 'live://*'],
    ['xlive://1', 'live://*'],
    ['team-7://chats', 'team-*://chat'],
    ['ab', 'a*bb'],
    ['aba', 'ab*ba'],
    ['a-c-b', 'a*b*c'],
    ['anything', ''],
  ])('%s is not granted by %s', (room, pattern) => {
    expect(may(room, pattern)).toBe(false);
  });

  test('a hostile pattern is answered, and not tried in all ways that there are', () => {
    expect(may('a'.repeat(4_096), `${'*a'.repeat(500)}*b`)).toBe(false);
  });

  test('all rooms are granted at once, and none without a grant', () => {
    expect(roomGrants({ anyRoom: true, roomGrants: [] })('x' as RoomId)).toBe(true);
    expect(may('x')).toBe(false);
  });
});
