import type { RoomId } from '@halley/protocol/ids';

const anyRoom = (): boolean => true;

/**
 * Which rooms a token lets its connection into: all, or those that a pattern names. In a pattern, `*` stands for any run
 * of characters, as for who gives the grants (logic's auth/verifier.ts).
 */
export function roomGrants(granted: {
  readonly anyRoom: boolean;
  readonly roomGrants: readonly string[];
}): (room: RoomId) => boolean {
  if (granted.anyRoom) return anyRoom;
  const patterns = granted.roomGrants;
  return (room) => patterns.some((pattern) => matches(room, pattern));
}

/** Looks for each part behind the one before, so that no pattern takes more than one pass over the room's name. */
function matches(room: string, pattern: string): boolean {
  const [first = '', ...parts] = pattern.split('*');
  const last = parts.pop();
  if (last === undefined) return room === pattern;
  if (!room.startsWith(first)) return false;
  let from = first.length;
  for (const part of parts) {
    const at = room.indexOf(part, from);
    if (at < 0) return false;
    from = at + part.length;
  }
  return room.length - from >= last.length && room.endsWith(last);
}
