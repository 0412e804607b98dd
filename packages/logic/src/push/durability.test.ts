import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import { describe, expect, test } from '@jest/globals';

import { Durability } from './durability.js';
import type { Target } from './target.js';

const users: Target = { kind: 'users', users: ['1' as UserId] };
const keys: Target = { kind: 'keys', keys: ['k' as ConnectionKey] };
const room = (name: string): Target => ({ kind: 'room', room: name as RoomId });
const everyone = (speed = 0): Target => ({ kind: 'everyone', speed });

describe('what is kept', () => {
  test('without options, what is for users and keys, and nothing else can be', () => {
    const none = new Durability({ durableRooms: [], durableAll: false });
    expect([users, keys, room('chat://1'), everyone()].map((target) => none.isDefault(target))).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect([users, keys].map((target) => none.refusal(target))).toEqual([undefined, undefined]);
    expect(none.refusal(room('chat://1'))).toContain('push.durableRooms');
    expect(none.refusal(everyone())).toContain('push.durableAll');
    expect(none.isDurableRoom('chat://1')).toBe(false);
  });

  test("in the rooms that a pattern names, by default; everyone's where it is asked for", () => {
    const some = new Durability({ durableRooms: ['chat://*', 'live://news'], durableAll: true });
    for (const name of ['chat://1', 'live://news']) {
      expect(some.isDurableRoom(name)).toBe(true);
      expect(some.isDefault(room(name))).toBe(true);
      expect(some.refusal(room(name))).toBeUndefined();
    }
    expect(some.isDefault(room('live://1'))).toBe(false);
    expect(some.refusal(room('live://1'))).toBe(
      'durable, and the room live://1 is none of push.durableRooms',
    );
    expect(some.isDefault(everyone())).toBe(false);
    expect(some.refusal(everyone())).toBeUndefined();
    expect(some.refusal(everyone(10))).toContain('speed');
  });
});
