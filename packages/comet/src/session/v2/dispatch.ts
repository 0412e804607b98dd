import { plainFrame } from '@halley/protocol/client/compression';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import { isProtocolOperation, Operation, OperationV2 } from '@halley/protocol/operation';
import { inflateRaw } from '@halley/service/raw-deflate';

import { onUpstream } from '../on-upstream.js';
import type { Session } from '../session.js';
import type { Identity } from '../identity.js';
import { onAck } from './on-ack.js';
import { onEphemeral, onHistory, onReceipts, onSend } from './on-ask.js';
import { onPresence } from './on-presence.js';
import { onRooms } from './on-rooms.js';
import { onToken } from './on-token.js';
import { replyError } from './reply.js';
import type { Version2 } from './version2.js';

/**
 * Hands a frame of an online connection with version 2, as it was before compression, to its handler, unless it is one that
 * both versions have; a promise means that what follows must wait for it.
 * Throws `bad_frame` for a body that is not its operation's, which closes; whatever else is wrong is answered.
 */
export function dispatchVersion2(
  session: Session,
  identity: Identity,
  v2: Version2,
  frame: Frame,
): Promise<void> | undefined {
  const { metrics } = session.deps;
  switch (frame.op) {
    case OperationV2.Ack:
      metrics.received('ack');
      onAck(session, frame);
      return undefined;
    case OperationV2.Send:
      metrics.received('send');
      return onSend(session, identity, frame);
    case OperationV2.Rooms:
      metrics.received('rooms');
      return onRooms(session, identity, v2, frame);
    case OperationV2.History:
      metrics.received('history');
      return onHistory(session, identity, v2, frame);
    case OperationV2.Receipts:
      metrics.received('receipts');
      return onReceipts(session, identity, v2, frame);
    case OperationV2.Ephemeral:
      metrics.received('ephemeral');
      onEphemeral(session, identity, v2, frame);
      return undefined;
    case OperationV2.Presence:
      metrics.received('presence');
      return onPresence(session, v2, frame);
    case OperationV2.Token:
      metrics.received('token');
      return onToken(session, identity, v2, frame);
    default:
      if (frame.op === Operation.ChangeRoom || isProtocolOperation(frame.op)) {
        metrics.received('unknown');
        replyError(session, frame.seq, new HalleyError('unsupported_operation'));
        return undefined;
      }
      metrics.received('business');
      return onUpstream(session, identity, v2.homeRoom?.id ?? '', frame);
  }
}

/**
 * What a client with version 2 said before it went: messages are handed over. The rest concerned only the
 * connection. Nothing is answered.
 */
export function dispatchLeaving(
  session: Session,
  identity: Identity,
  roomId: string,
  received: Frame,
): Promise<void> | undefined {
  const { metrics, maxBodyBytes } = session.deps;
  const frame = plainFrame(received, inflateRaw, maxBodyBytes);
  switch (frame.op) {
    case OperationV2.Send:
      metrics.received('send');
      return onSend(session, identity, frame);
    case Operation.Heartbeat:
    case Operation.Auth:
    case Operation.ChangeRoom:
    case Operation.Subscribe:
    case Operation.Unsubscribe:
      return undefined;
    default:
      if (isProtocolOperation(frame.op)) return undefined;
      metrics.received('business');
      return onUpstream(session, identity, roomId, frame);
  }
}
