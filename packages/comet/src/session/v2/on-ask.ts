import { Ephemeral, HistoryRequest, Receipts, SendRequest } from '@halley/protocol/client/bodies';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import { frameV2 } from '@halley/protocol/frame-v2';
import type { RoomId, UserId } from '@halley/protocol/ids';
import { OperationV2 } from '@halley/protocol/operation';

import type { Session } from '../session.js';
import type { Identity } from '../identity.js';
import { answering, replyError } from './reply.js';
import type { Version2 } from './version2.js';

/** Largest body of what is worth nothing later. */
const MAX_EPHEMERAL_BYTES = 1_024;

interface Target {
  readonly room: string;
  readonly toMid: UserId;
}

/** op 18: answered once it is durable. One after another, so their order holds. */
export function onSend(session: Session, identity: Identity, frame: Frame): Promise<void> {
  const target = SendRequest.decode(frame.body);
  return answering(session, frame.seq, async () => {
    const granted = isGranted(identity, target);
    if (!granted && !identity.asksToSend) throw new HalleyError('send_not_granted');
    await ask(session, identity, frame, OperationV2.SendReply, !granted);
  });
}

/** op 26: a page of the own inbox, or of a room that it is in. */
export function onHistory(session: Session, identity: Identity, v2: Version2, frame: Frame): Promise<void> {
  const { stream } = HistoryRequest.decode(frame.body);
  return answering(session, frame.seq, async () => {
    checkStream(identity, v2, stream);
    await ask(session, identity, frame, OperationV2.HistoryReply);
  });
}

/** op 31: how far streams were read, of the own inbox and of rooms that it is in. */
export function onReceipts(session: Session, identity: Identity, v2: Version2, frame: Frame): Promise<void> {
  const { positions } = Receipts.decode(frame.body);
  return answering(session, frame.seq, async () => {
    for (const { stream } of positions) checkStream(identity, v2, stream);
    await ask(session, identity, frame, OperationV2.Receipts);
  });
}

/** op 32: nothing waits for it, and it is not answered unless it is refused. */
export function onEphemeral(session: Session, identity: Identity, v2: Version2, frame: Frame): void {
  const { body, ...target } = Ephemeral.decode(frame.body);
  const refuse = (error: unknown): void => {
    if (frame.seq !== 0) replyError(session, frame.seq, error);
  };
  try {
    if ((target.room === '') === (target.toMid === '0'))
      throw new HalleyError('invalid_argument', 'An ephemeral message is to a room or to a user.');
    if (body.length > MAX_EPHEMERAL_BYTES)
      throw new HalleyError('invalid_argument', `body: ${body.length} bytes, above ${MAX_EPHEMERAL_BYTES}.`);
    if (!isGranted(identity, target)) throw new HalleyError('send_not_granted');
    const retryAfterMs = v2.ephemerals.take();
    if (retryAfterMs > 0)
      throw new HalleyError('overloaded', 'Too many ephemeral messages a second.', { retryAfterMs });
  } catch (error) {
    session.deps.metrics.version2.ephemeral('refused');
    return refuse(error);
  }
  session.deps.metrics.version2.ephemeral('ok');
  session.deps.logic.ask(identity, frame.op, frame.body).catch(refuse);
}

/** Whether its token lets it send there. Throws `invalid_argument` for two targets. */
function isGranted({ mayPublish, maySendToUsers }: Identity, { room, toMid }: Target): boolean {
  const toUser = toMid !== '0';
  if (room !== '' && toUser)
    throw new HalleyError('invalid_argument', 'A message is to a room or to a user, not to both.');
  return (room === '' || mayPublish(room as RoomId)) && (!toUser || maySendToUsers);
}

/** Throws unless the stream is the own inbox or that of a room that is joined. */
function checkStream({ mid }: Identity, { rooms }: Version2, stream: string): void {
  if (mid !== '0' && stream === `u/${mid}`) return;
  if (!stream.startsWith('r/'))
    throw new HalleyError('invalid_argument', 'stream: must be the own inbox, or that of a room.');
  if (!rooms.has(stream.slice(2) as RoomId))
    throw new HalleyError('room_not_granted', 'stream: the connection is not in this room.');
}

async function ask(
  session: Session,
  identity: Identity,
  frame: Frame,
  op: number,
  notGranted = false,
): Promise<void> {
  const body = await session.deps.logic.ask(identity, frame.op, frame.body, notGranted);
  session.reply(frameV2(op, frame.seq, body));
}
