import { TokenReply, TokenRequest } from '@halley/protocol/client/bodies';
import type { Frame } from '@halley/protocol/frame';
import { OperationV2 } from '@halley/protocol/operation';

import type { Grants } from '../../logic-link.js';
import { rightsOf } from '../rights.js';
import type { Session } from '../session.js';
import { Identity } from '../identity.js';
import { answering, reply } from './reply.js';
import type { Version2 } from './version2.js';

/** op 37: another token of the same user counts from now on; a bad one changes nothing. */
export function onToken(session: Session, identity: Identity, v2: Version2, frame: Frame): Promise<void> {
  const { token } = TokenRequest.decode(frame.body);
  return answering(session, frame.seq, async () => {
    const grants = await session.deps.logic.verifyToken(identity, Buffer.from(token));
    const { state } = session;
    if (state.name !== 'online') return;
    const leftRooms = renew(session, state.identity, v2, grants);
    const { tokenExpiresAtMs } = grants;
    reply(session, OperationV2.TokenReply, frame.seq, TokenReply, { tokenExpiresAtMs, leftRooms });
  });
}

/** Answers the rooms that were left, because they are not granted any more. */
function renew(session: Session, before: Identity, { rooms }: Version2, grants: Grants): readonly string[] {
  const identity = new Identity(before, before.heartbeatMs, rightsOf(grants, session.deps));
  session.state = { name: 'online', identity };
  session.renewDeadline(identity);
  const left = rooms.ids().filter((room) => !identity.mayEnter(room));
  for (const room of left) rooms.leave(room);
  return left;
}
