import type { RoomId } from '@halley/protocol/ids';
import { matchesRoom } from '@halley/protocol/room-pattern';

import type { MayUse } from './rights.js';

interface Granted {
  readonly anyRoom: boolean;
  readonly roomGrants: readonly string[];
}

const anyRoom = (): boolean => true;
const noRoom = (): boolean => false;
const MAX_SHARED = 1_024;
const MAX_SHARED_CHARACTERS = 1_024;

/** Which rooms a token lets its connection into: all, or those that a pattern names. */
export function roomGrants({ anyRoom: any, roomGrants: patterns }: Granted): MayUse {
  if (any) return anyRoom;
  if (patterns.length === 0) return noRoom;
  return (room: RoomId) => patterns.some((pattern) => matchesRoom(room, pattern));
}

/** Hands out one answer for equal grants, so that ten thousand connections with the same grants share one. */
export class RoomGrants {
  readonly #shared = new Map<string, MayUse>();

  of(granted: Granted): MayUse {
    if (granted.anyRoom || granted.roomGrants.length === 0) return roomGrants(granted);
    const name = granted.roomGrants.join('\n');
    if (name.length > MAX_SHARED_CHARACTERS) return roomGrants(granted);
    const known = this.#shared.get(name);
    if (known) return known;
    const fresh = roomGrants(granted);
    if (this.#shared.size >= MAX_SHARED) this.#shared.clear();
    this.#shared.set(name, fresh);
    return fresh;
  }
}
