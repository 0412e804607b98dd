import type { RoomAnswer } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { HalleyError } from '@halley/protocol/error';

import type { Asker, RoomOpened, RoomStart } from '../../logic-link.js';
import { follow } from '../follow.js';
import type { Session } from '../session.js';
import { roomStream } from './joined-rooms.js';
import type { Version2 } from './version2.js';

/** A room that is about to be entered. */
export interface PreparedRoom {
  readonly join: RoomStart;
  /** Whether it was counted in the room directory for this. */
  acquired: boolean;
  /** Whether its messages are kept. */
  durable: boolean;
  /** Where its stream is followed from, when it is to be from now on. */
  opened?: RoomOpened;
  /** Why it can't be entered; then nothing was written for it. */
  error?: HalleyError;
}

/**
 * Writes the routes of rooms, all at once, and asks where their streams go on. `allowed` throws for a room that is not to
 * be entered. In between nothing is changed of the connection; afterwards each is entered, or withdrawn.
 */
export async function prepareRooms(
  session: Session,
  asker: Asker,
  v2: Version2,
  joins: readonly RoomStart[],
  allowed: (join: RoomStart) => void = () => undefined,
): Promise<PreparedRoom[]> {
  const prepared = joins.map((join): PreparedRoom => ({ join, acquired: false, durable: false }));
  await Promise.all(prepared.map((one) => acquire(session, v2, one, allowed)));
  const toOpen = prepared.filter((one) => one.error === undefined && isToBeOpened(session, v2, one));
  if (toOpen.length === 0) return prepared;
  try {
    const opened = await session.deps.logic.openRooms(
      asker,
      toOpen.map(({ join }) => join),
    );
    for (const [index, one] of toOpen.entries()) one.opened = opened[index] as RoomOpened;
  } catch (thrown) {
    withdrawRooms(session, toOpen);
    for (const one of toOpen) one.error = HalleyError.from(thrown);
  }
  return prepared;
}

/** Undoes what was written for rooms that are not entered. */
export function withdrawRooms({ deps }: Session, prepared: readonly PreparedRoom[]): void {
  for (const one of prepared) {
    if (one.acquired) deps.directory.release(one.join.room);
    one.acquired = false;
  }
}

/** Becomes a member of a room that was prepared without an error, and follows its stream; answers what the client is told. */
export function enterRoom(
  session: Session,
  asker: Asker,
  v2: Version2,
  prepared: PreparedRoom,
): Write<typeof RoomAnswer> {
  const { room } = prepared.join;
  const { durable, opened } = prepared;
  if (!v2.rooms.has(room)) v2.rooms.enter(room);
  // It was named twice.
  else withdrawRooms(session, [prepared]);
  if (!durable) return { room };
  const stream = roomStream(room);
  if (opened) {
    session.following.remove(stream);
    session.following.add(follow(session, { key: asker.key, accepted: false }, opened.start));
  }
  const { epoch, last: position } = session.following.of(stream) ?? { epoch: '', last: 0 };
  return { room, durable, epoch, position, read: opened?.read };
}

async function acquire(
  session: Session,
  v2: Version2,
  prepared: PreparedRoom,
  allowed: (join: RoomStart) => void,
): Promise<void> {
  const { room } = prepared.join;
  try {
    allowed(prepared.join);
    // Also one that it is in: it may be left by then, in the same request.
    prepared.durable = await session.deps.directory.acquire(room);
    prepared.acquired = true;
  } catch (thrown) {
    prepared.error = HalleyError.from(thrown);
  }
}

/** To join a room that one is in changes nothing but where the connection goes on, if there is a cursor. */
function isToBeOpened(session: Session, v2: Version2, { join, durable }: PreparedRoom): boolean {
  if (!durable) return false;
  return join.cursor !== undefined || !session.following.of(roomStream(join.room));
}
