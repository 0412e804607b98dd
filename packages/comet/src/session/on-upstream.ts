import { CloseCode } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import { type Frame, replyFrame } from '@halley/protocol/frame';

import type { Session } from './session.js';
import type { Identity } from './identity.js';

/**
 * Any other operation is a message for the business: once it is durable, the same operation and seq come back with an
 * empty body. When it cannot be written the connection closes, so that the client knows. One at a time, so their order
 * holds.
 */
export async function onUpstream(
  session: Session,
  identity: Identity,
  roomId: string,
  frame: Frame,
): Promise<void> {
  const { deps } = session;
  try {
    await deps.logic.receive({ mid: identity.mid, key: identity.key, roomId, frame });
  } catch (thrown) {
    const { code } = HalleyError.from(thrown);
    deps.log.warn({ code, key: identity.key }, 'a message for the business could not be written');
    session.close(CloseCode.Unavailable, 'The message could not be written.');
    return;
  }
  session.reply(replyFrame(frame, frame.op));
}
