import { type RoomAnswer, RoomsReply, RoomsRequest, type RoomJoin } from '@halley/protocol/client/bodies';
import type { Write } from '@halley/protocol/client/message';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import type { RoomId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';

import type { RoomStart } from '../../logic-link.js';
import type { Session } from '../session.js';
import type { Identity } from '../identity.js';
import { enterRoom, prepareRooms, withdrawRooms } from './entering.js';
import { errorBody, reply } from './reply.js';
import type { Version2 } from './version2.js';

/**
 * op 24: rooms to be in, and to be in no longer. Answered, one by one, when the routes are written; in the same tick the
 * connection becomes a member, so that nothing of a room comes ahead of the answer, or behind the answer to leaving it.
 */
export async function onRooms(
  session: Session,
  identity: Identity,
  v2: Version2,
  frame: Frame,
): Promise<void> {
  const request = RoomsRequest.decode(frame.body);
  const leave = new Set(request.leave as readonly RoomId[]);
  const joins = request.join.map(startOf);
  const { maxRooms } = session.deps.limits;
  const rooms = new Set(v2.rooms.ids().filter((room) => !leave.has(room)));
  const allowed = (join: RoomStart): void => {
    if (join.room === '') throw new HalleyError('invalid_argument', 'room: must not be empty.');
    if (!identity.mayEnter(join.room)) throw new HalleyError('room_not_granted');
    if (rooms.has(join.room)) return;
    if (rooms.size >= maxRooms)
      throw new HalleyError('limit_exceeded', `A connection may be in ${maxRooms} rooms.`);
    rooms.add(join.room);
  };
  const prepared = await prepareRooms(session, identity, v2, joins, allowed);
  if (session.state.name !== 'online') return withdrawRooms(session, prepared);
  for (const room of leave) v2.rooms.leave(room);
  const answers: Write<typeof RoomAnswer>[] = prepared.map((one) =>
    one.error === undefined
      ? enterRoom(session, identity, v2, one)
      : { room: one.join.room, error: errorBody(one.error) },
  );
  for (const room of leave) answers.push({ room });
  reply(session, OperationV2.RoomsReply, frame.seq, RoomsReply, { answers });
}

function startOf({ room, epoch, position, start }: RoomJoin): RoomStart {
  return {
    room: room as RoomId,
    cursor: position === undefined ? undefined : { epoch, position },
    start,
  };
}
