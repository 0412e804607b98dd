import type { RoomId } from '@halley/protocol/ids';
import { matchesRoom } from '@halley/protocol/room-pattern';

const anyRoom = (): boolean => true;

/** Which rooms a token lets its connection into: all, or those that a pattern names. */
export function roomGrants(granted: {
  readonly anyRoom: boolean;
  readonly roomGrants: readonly string[];
}): (room: RoomId) => boolean {
  if (granted.anyRoom) return anyRoom;
  const patterns = granted.roomGrants;
  return (room) => patterns.some((pattern) => matchesRoom(room, pattern));
}
