import { CloseCode } from '@halley/protocol/close-code';
import { type Frame, frameBytes } from '@halley/protocol/frame';

import type { Session } from './session.js';

/** A frame ahead of the auth: ignored, still waiting. A flood of them is closed. */
export function onEarly(session: Session, frame: Frame, earlierBytes: number): void {
  const earlyBytes = earlierBytes + frameBytes(frame);
  if (earlyBytes > session.deps.limits.maxEarlyBytes) {
    session.deps.metrics.handshake('flood');
    session.close(CloseCode.HandshakeTimeout, 'Too much ahead of the auth.');
    return;
  }
  session.state = { name: 'greeting', earlyBytes };
}
