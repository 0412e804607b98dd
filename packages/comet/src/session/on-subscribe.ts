import { type Frame, replyFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { MAX_ACCEPTS, parseOperations } from './accepts.js';
import type { Session } from './session.js';

/** op 14: accepts more operations. The body is echoed, also when it is no good list, or too long a one; then nothing changes. */
export function onSubscribe(session: Session, frame: Frame): void {
  const operations = operationsOf(frame);
  if (operations) {
    const accepts = session.deps.accepts.with(session.accepts, operations);
    if (accepts) session.accepts = accepts;
    else refused(session, operations.length);
  }
  session.reply(replyFrame(frame, Operation.SubscribeReply, frame.body));
}

/** op 16: accepts fewer. */
export function onUnsubscribe(session: Session, frame: Frame): void {
  const operations = operationsOf(frame);
  if (operations) session.accepts = session.deps.accepts.without(session.accepts, operations);
  session.reply(replyFrame(frame, Operation.UnsubscribeReply, frame.body));
}

/** goim's clients know no refusal: what they do not get for it is told here at least. */
function refused({ deps, accepts, transport }: Session, more: number): void {
  deps.metrics.subscribeRefused();
  deps.log.debug(
    { ip: transport.clientIp, accepts: accepts.size, more, limit: MAX_ACCEPTS },
    'a subscribe is not applied: too many operations',
  );
}

function operationsOf(frame: Frame): number[] | undefined {
  return parseOperations(Buffer.from(frame.body).toString('latin1'));
}
