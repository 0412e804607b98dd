import { type Frame, replyFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { parseOperations } from './accepts.js';
import type { Session } from './session.js';

/** op 14: accepts more operations. The body is echoed, also when it is no good list; then nothing changes. */
export function onSubscribe(session: Session, frame: Frame): void {
  const operations = operationsOf(frame);
  if (operations) session.accepts = session.deps.accepts.with(session.accepts, operations);
  session.reply(replyFrame(frame, Operation.SubscribeReply, frame.body));
}

/** op 16: accepts fewer. */
export function onUnsubscribe(session: Session, frame: Frame): void {
  const operations = operationsOf(frame);
  if (operations) session.accepts = session.deps.accepts.without(session.accepts, operations);
  session.reply(replyFrame(frame, Operation.UnsubscribeReply, frame.body));
}

function operationsOf(frame: Frame): number[] | undefined {
  return parseOperations(Buffer.from(frame.body).toString('latin1'));
}
