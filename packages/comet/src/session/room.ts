import type { RoomId } from '@halley/protocol/ids';
import { streamOf } from '@halley/store/shard';

import type { SessionRef, StreamStart } from '../logic-link.js';
import { follow } from './follow.js';
import type { Session } from './session.js';

/** A room whose route is written, for a connection with version 1. It becomes the connection's, or is withdrawn. */
export interface WrittenRoom {
  readonly room: RoomId;
  /** Where its stream ended when it was written; undefined where its messages are not kept. */
  readonly start?: StreamStart;
}

/** Writes a room's route, and looks up where the stream of a durable one ends. When it rejects nothing is left of it. */
export async function writeRoom({ deps }: Session, room: RoomId): Promise<WrittenRoom> {
  const durable = await deps.directory.acquire(room);
  if (!durable) return { room };
  try {
    return { room, start: await deps.roomEnds.of(room) };
  } catch (error) {
    deps.directory.release(room);
    throw error;
  }
}

/** The connection does not come into it. */
export function withdrawRoom({ deps }: Session, { room }: WrittenRoom): void {
  deps.directory.release(room);
}

/** Changes the room of a connection with version 1: it leaves the one that it was in, and its stream. Undefined is none. */
export function changeRoom(session: Session, { key }: SessionRef, written: WrittenRoom | undefined): void {
  const left = session.room?.id;
  if (left !== undefined) session.following.remove(streamOf.room(left));
  session.moveTo(written?.room);
  // Who is in a room gets everything, whatever it accepts.
  if (written?.start) session.following.add(follow(session, { key, accepted: false }, written.start));
  if (left !== undefined) session.deps.directory.release(left);
}
