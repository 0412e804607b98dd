import { outcomeOf } from '@halley/cluster/grpc/status';
import { ErrorBody, Outcome } from '@halley/protocol/client/bodies';
import type { Fields, Message, Write } from '@halley/protocol/client/message';
import { ERRORS, HalleyError } from '@halley/protocol/error';
import { frameV2 } from '@halley/protocol/frame-v2';
import { OperationV2 } from '@halley/protocol/operation';

import type { Session } from '../session.js';

/** Sends one message of version 2: the reply to the request with this seq, or with 0 what answers nothing. */
export function reply<F extends Fields>(
  session: Session,
  op: number,
  seq: number,
  message: Message<F>,
  value: Write<Message<F>>,
): void {
  session.reply(frameV2(op, seq, message.encode(value)));
}

/** What 39, and the answers to single rooms, say of a fault. */
export function errorBody(thrown: unknown): Write<typeof ErrorBody> {
  const error = HalleyError.from(thrown);
  return {
    code: error.code,
    text: error.code === 'internal' ? ERRORS.internal.text : error.message,
    temporary: error.retryable,
    retryAfterMs: Math.ceil(error.retryAfterMs ?? 0),
    outcome: outcomeOf(error) === 'unknown' ? Outcome.Unknown : Outcome.Refused,
  };
}

/** 39: the request with this seq failed, the connection lives on. */
export function replyError(session: Session, seq: number, thrown: unknown): void {
  const error = HalleyError.from(thrown);
  if (error.code === 'internal') session.deps.log.error({ err: error }, 'a request failed');
  session.deps.metrics.version2.failed(error.code);
  reply(session, OperationV2.Error, seq, ErrorBody, errorBody(error));
}

/** Carries out a request; a fault of it is answered. */
export async function answering(session: Session, seq: number, carryOut: () => Promise<void>): Promise<void> {
  try {
    await carryOut();
  } catch (error) {
    replyError(session, seq, error);
  }
}
