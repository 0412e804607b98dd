import type { RoomId } from '@halley/protocol/ids';

import type { Receiver } from './lane.js';
import { Room } from './room.js';

/** The rooms that have members on this comet; a room goes with its last member. */
export class RoomTable {
  readonly #rooms = new Map<RoomId, Room>();
  /** Grows with each room that appears or disappears. */
  #changes = 0;

  get size(): number {
    return this.#rooms.size;
  }

  /** Changes whenever a room has appeared or disappeared. */
  get changes(): number {
    return this.#changes;
  }

  get(id: RoomId): Room | undefined {
    return this.#rooms.get(id);
  }

  ids(): IterableIterator<RoomId> {
    return this.#rooms.keys();
  }

  /** Adds a member that is in no room, and answers the room. */
  join(id: RoomId, member: Receiver): Room {
    let room = this.#rooms.get(id);
    if (!room) {
      room = new Room(id);
      this.#rooms.set(id, room);
      this.#changes += 1;
    }
    room.lane.roster.add(member);
    return room;
  }

  leave(room: Room, member: Receiver): void {
    room.lane.roster.remove(member);
    if (room.size > 0 || this.#rooms.get(room.id) !== room) return;
    this.#rooms.delete(room.id);
    this.#changes += 1;
  }

  /** Members by room. */
  counts(): Map<RoomId, number> {
    const counts = new Map<RoomId, number>();
    for (const [id, room] of this.#rooms) counts.set(id, room.size);
    return counts;
  }
}
