import { type Frame, replyFrame, writeInt32 } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import type { Session } from './session.js';
import type { Identity } from './identity.js';

/** op 2: the only operation that keeps a connection alive. Answered with the members of its room, 0 without a room. */
export function onHeartbeat(session: Session, identity: Identity, frame: Frame): void {
  session.renewDeadline(identity);
  session.following.each((follower) => follower.beat());
  const body = new Uint8Array(4);
  writeInt32(body, 0, session.home?.online ?? 0);
  session.reply(replyFrame(frame, Operation.HeartbeatReply, body));
}
