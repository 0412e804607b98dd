import { HalleyError } from '@halley/protocol/error';
import { type Frame, replyFrame } from '@halley/protocol/frame';
import type { RoomId } from '@halley/protocol/ids';
import { Operation } from '@halley/protocol/operation';

import { changeRoom, withdrawRoom, writeRoom } from './room.js';
import type { Session } from './session.js';
import type { Identity } from './identity.js';

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
    changeRoom(session, identity, undefined);
    answer(session, frame);
    return undefined;
  }
  if (!identity.mayEnter(room)) throw new HalleyError('room_not_granted');
  return enter(session, identity, room, frame);
}

async function enter(session: Session, identity: Identity, room: RoomId, frame: Frame): Promise<void> {
  const written = await writeRoom(session, room);
  const { state } = session;
  if (state.name !== 'online') {
    withdrawRoom(session, written);
    if (state.name === 'leaving') session.state = { ...state, roomId: room };
    return;
  }
  changeRoom(session, identity, written);
  answer(session, frame);
}

function answer(session: Session, frame: Frame): void {
  session.reply(replyFrame(frame, Operation.ChangeRoomReply, frame.body));
}
