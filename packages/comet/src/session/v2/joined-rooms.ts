import type { RoomId } from '@halley/protocol/ids';

import type { Receiver } from '../../delivery/lane.js';
import type { Room } from '../../delivery/room.js';
import type { Session } from '../session.js';

/** A connection's place in one of its rooms; each room's roster needs a slot of its own. */
class Seat implements Receiver {
  roomSlot = -1;
  everyoneSlot = -1;
  readonly format;
  readonly outbox;
  readonly accepts;
  readonly deviceKey: string;
  readonly room: Room;

  constructor(session: Session, id: RoomId) {
    this.format = session.format;
    this.outbox = session.outbox;
    // Who is in a room gets everything: this is not asked.
    this.accepts = session.accepts;
    this.deviceKey = session.deviceKey;
    this.room = session.deps.rooms.join(id, this);
  }
}

/** The stream of a room's messages. */
export function roomStream(room: RoomId): string {
  return `r/${room}`;
}

/** The rooms of a connection with version 2. Each is written in the room directory for as long as the connection is in it. */
export class JoinedRooms {
  readonly #seats = new Map<RoomId, Seat>();

  constructor(private readonly session: Session) {}

  get size(): number {
    return this.#seats.size;
  }

  has(room: RoomId): boolean {
    return this.#seats.has(room);
  }

  ids(): RoomId[] {
    return [...this.#seats.keys()];
  }

  /** The room, while the connection is in it. */
  get(room: RoomId): Room | undefined {
    return this.#seats.get(room)?.room;
  }

  /** Becomes a member of a room in which it is not; the caller has acquired it, from now on it is released here. */
  enter(room: RoomId): void {
    this.#seats.set(room, new Seat(this.session, room));
  }

  /** Is a member no more, and follows the room's stream no more; nothing happens when it was none. */
  leave(room: RoomId): void {
    const seat = this.#seats.get(room);
    if (!seat) return;
    const { rooms, directory } = this.session.deps;
    this.#seats.delete(room);
    this.session.following.remove(roomStream(room));
    rooms.leave(seat.room, seat);
    directory.release(room);
  }

  leaveAll(): void {
    for (const room of this.ids()) this.leave(room);
  }
}
