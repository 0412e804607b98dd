import { HalleyError } from '@halley/protocol/error';
import { type Frame, replyFrame } from '@halley/protocol/frame';
import type { RoomId } from '@halley/protocol/ids';
import { Operation } from '@halley/protocol/operation';

import type { Session } from './session.js';
import type { Identity } from './session-state.js';

/**
 * op 12: the body is the room to be in, empty for none; it is echoed once the room's route is written. The room that one
 * is in already changes nothing. Until then the connection stays in its old room.
 */
export function onChangeRoom(session: Session, identity: Identity, frame: Frame): Promise<void> | undefined {
  const room = Buffer.from(frame.body).toString('utf8') as RoomId;
  if (room === (session.room?.id ?? '')) {
    answer(session, frame);
    return undefined;
  }
  if (room === '') {
    move(session, undefined);
    answer(session, frame);
    return undefined;
  }
  if (!identity.mayEnter(room)) throw new HalleyError('room_not_granted');
  return enter(session, room, frame);
}

async function enter(session: Session, room: RoomId, frame: Frame): Promise<void> {
  await session.deps.directory.acquire(room);
  const { state } = session;
  if (state.name !== 'online') {
    session.deps.directory.release(room);
    if (state.name === 'leaving') session.state = { ...state, roomId: room };
    return;
  }
  move(session, room);
  answer(session, frame);
}

function move(session: Session, room: RoomId | undefined): void {
  const left = session.room?.id;
  session.moveTo(room);
  if (left !== undefined) session.deps.directory.release(left);
}

function answer(session: Session, frame: Frame): void {
  session.reply(replyFrame(frame, Operation.ChangeRoomReply, frame.body));
}
