import type { Frame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

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
  if (v2) return dispatchVersion2(session, state.identity, v2, frame);
  switch (frame.op) {
    case Operation.Heartbeat:
      metrics.received('heartbeat');
      onHeartbeat(session, state.identity, frame);
      return undefined;
    case Operation.Auth:
      metrics.received('auth');
      onAuthAgain(session, frame);
      return undefined;
    case Operation.ChangeRoom:
      metrics.received('change_room');
      return onChangeRoom(session, state.identity, frame);
    case Operation.Subscribe:
      metrics.received('subscribe');
      onSubscribe(session, frame);
      return undefined;
    case Operation.Unsubscribe:
      metrics.received('subscribe');
      onUnsubscribe(session, frame);
      return undefined;
    default:
      metrics.received('business');
      return onUpstream(session, state.identity, session.room?.id ?? '', frame);
  }
}
