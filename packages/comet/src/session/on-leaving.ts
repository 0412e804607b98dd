import type { Frame } from '@halley/protocol/frame';
import { HalleyError } from '@halley/protocol/error';
import type { RoomId } from '@halley/protocol/ids';
import { Operation } from '@halley/protocol/operation';

import { onUpstream } from './on-upstream.js';
import type { Session } from './session.js';
import type { Leaving } from './session-state.js';

/**
 * What a client said before it went: messages for the business are handed over, and a change of room is the room of those
 * behind it. The rest concerned only the connection. Nothing is answered.
 */
export function onLeaving(session: Session, state: Leaving, frame: Frame): Promise<void> | undefined {
  const { metrics } = session.deps;
  switch (frame.op) {
    case Operation.Heartbeat:
    case Operation.Auth:
    case Operation.Subscribe:
    case Operation.Unsubscribe:
      return undefined;
    case Operation.ChangeRoom: {
      metrics.received('change_room');
      const roomId = Buffer.from(frame.body).toString('utf8');
      if (roomId !== '' && !state.identity.mayEnter(roomId as RoomId))
        throw new HalleyError('room_not_granted');
      session.state = { ...state, roomId };
      return undefined;
    }
    default:
      metrics.received('business');
      return onUpstream(session, state.identity, state.roomId, frame);
  }
}
