import { plainFrame } from '@halley/protocol/client/compression';
import type { Frame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';
import { inflateRaw } from '@halley/service/raw-deflate';

import { onAuth, onAuthAgain } from './on-auth.js';
import { onChangeRoom } from './on-change-room.js';
import { onEarly } from './on-early.js';
import { onHeartbeat } from './on-heartbeat.js';
import { onLeaving } from './on-leaving.js';
import { onSubscribe, onUnsubscribe } from './on-subscribe.js';
import { onUpstream } from './on-upstream.js';
import type { Session } from './session.js';
import { dispatchLeaving, dispatchVersion2 } from './v2/dispatch.js';

/** Hands a frame to its handler; a promise means that what follows must wait for it. */
export function dispatch(session: Session, frame: Frame): Promise<void> | undefined {
  const { state, v2 } = session;
  const { metrics } = session.deps;
  switch (state.name) {
    case 'greeting':
      if (frame.op !== Operation.Auth) {
        metrics.received('early');
        onEarly(session, frame, state.earlyBytes);
        return undefined;
      }
      metrics.received('auth');
      return onAuth(session, frame);
    case 'online':
      break;
    case 'leaving':
      if (v2) return dispatchLeaving(session, state.identity, state.roomId, frame);
      return onLeaving(session, state, frame);
    case 'authenticating':
    case 'departing':
    case 'closing':
    case 'closed':
      return undefined;
  }
  const { identity } = state;
  const plain = v2 ? plainFrame(frame, inflateRaw, session.deps.maxBodyBytes) : frame;
  switch (plain.op) {
    case Operation.Heartbeat:
      metrics.received('heartbeat');
      onHeartbeat(session, identity, plain);
      return undefined;
    case Operation.Auth:
      metrics.received('auth');
      onAuthAgain(session, plain);
      return undefined;
    case Operation.Subscribe:
      metrics.received('subscribe');
      onSubscribe(session, plain);
      return undefined;
    case Operation.Unsubscribe:
      metrics.received('subscribe');
      onUnsubscribe(session, plain);
      return undefined;
  }
  if (v2) return dispatchVersion2(session, identity, v2, plain);
  if (plain.op === Operation.ChangeRoom) {
    metrics.received('change_room');
    return onChangeRoom(session, identity, plain);
  }
  metrics.received('business');
  return onUpstream(session, identity, session.room?.id ?? '', plain);
}
