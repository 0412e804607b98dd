import { Ack } from '@halley/protocol/client/bodies';
import type { Frame } from '@halley/protocol/frame';

import type { Session } from '../session.js';

/** op 21: up to where streams were handled. What is not followed, of another epoch, or was not sent, changes nothing. */
export function onAck(session: Session, frame: Frame): void {
  for (const { stream, epoch, position } of Ack.decode(frame.body).cursors) {
    session.following.of(stream)?.acked(epoch, position);
  }
}
