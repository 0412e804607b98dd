import type { RoomId } from '@halley/protocol/ids';

const anyRoom = (): boolean => true;

/**
 * Which rooms a token lets its connection into: all, or those that a pattern names. A pattern is a room id, or the
 * beginning of room ids followed by `*`.
 */
export function roomGrants(granted: {
  readonly anyRoom: boolean;
  readonly roomGrants: readonly string[];
}): (room: RoomId) => boolean {
  if (granted.anyRoom) return anyRoom;
  const patterns = granted.roomGrants;
  return (room) =>
    patterns.some((pattern) =>
      pattern.endsWith('*') ? room.startsWith(pattern.slice(0, -1)) : room === pattern,
    );
}
