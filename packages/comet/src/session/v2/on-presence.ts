import { PresenceChanges, PresenceRequest } from '@halley/protocol/client/bodies';
import type { Frame } from '@halley/protocol/frame';
import { OperationV2 } from '@halley/protocol/operation';

import type { Session } from '../session.js';
import { answering, reply } from './reply.js';
import type { Version2 } from './version2.js';

/** op 33: whom to watch; answered with how the added ones are now. */
export function onPresence(session: Session, v2: Version2, frame: Frame): Promise<void> {
  const request = PresenceRequest.decode(frame.body);
  return answering(session, frame.seq, async () => {
    const { presence, limits } = session.deps;
    const users = await presence.change(v2, request, limits.maxWatched);
    reply(session, OperationV2.PresenceChanges, frame.seq, PresenceChanges, { users });
  });
}
