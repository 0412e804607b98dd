import { Start } from '@halley/protocol/client/bodies';
import type { RoomId } from '@halley/protocol/ids';

import { changeRoom, withdrawRoom, writeRoom } from './room.js';
import type { Session } from './session.js';
import type { Identity } from './identity.js';
import { enterRoom, prepareRooms, withdrawRooms } from './v2/entering.js';

/** The room of a token, whose route is written. Either becomes the connection's, or is withdrawn. */
export interface Home {
  enter(): void;
  withdraw(): void;
}

/** Writes the route of a token's room; undefined where there is none. With version 2 one that is not granted is none. */
export async function prepareHome(
  session: Session,
  identity: Identity,
  roomId: string,
): Promise<Home | undefined> {
  const { v2 } = session;
  const room = roomId as RoomId;
  if (roomId === '') return undefined;
  if (!v2) {
    const written = await writeRoom(session, room);
    return {
      enter: () => changeRoom(session, identity, written),
      withdraw: () => withdrawRoom(session, written),
    };
  }
  if (!identity.mayEnter(room)) return undefined;
  const prepared = await prepareRooms(session, identity, v2, [
    { room, cursor: undefined, start: Start.Newest },
  ]);
  for (const { error } of prepared) if (error) throw error;
  return {
    enter: () => {
      v2.home = room;
      for (const one of prepared) enterRoom(session, identity, v2, one);
    },
    withdraw: () => withdrawRooms(session, prepared),
  };
}
