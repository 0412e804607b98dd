import { CloseCode } from '@halley/protocol/close-code';
import { type ErrorCode, HalleyError } from '@halley/protocol/error';
import { type Frame, replyFrame } from '@halley/protocol/frame';
import type { RoomId } from '@halley/protocol/ids';
import { Operation } from '@halley/protocol/operation';
import { Backoff } from '@halley/service/backoff';

import type { Connected } from '../logic-link.js';
import { roomGrants } from './room-grants.js';
import { Follower } from './follower.js';
import { HeartbeatSink } from './heartbeat-sink.js';
import type { Session } from './session.js';
import type { Identity } from './session-state.js';
import { TAKEN_OVER_REASON } from './session-table.js';

/** What a client did wrong, or what no repetition changes. Everything else is tried again until the deadline. */
const FINAL: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'bad_token',
  'token_expired',
  'key_in_use',
  'room_not_granted',
  'permission_denied',
  'invalid_argument',
  'internal',
]);

/** How long a connection lives without a heartbeat when logic does not say. */
const DEFAULT_HEARTBEAT_MS = 480_000;

/** One call's deadline, so that a logic that hangs leaves time to ask another. */
const ATTEMPT_MS = 2_500;

/**
 * op 7: logic verifies the token and writes the route, then the room's; then the connection is in the tables and is
 * answered, all in one tick. While logic cannot be reached it is asked again, until the handshake's deadline closes the
 * connection. Of a client that goes meanwhile no route is left; what it said behind its auth is handed over when its token
 * is good.
 */
export async function onAuth(session: Session, frame: Frame): Promise<void> {
  const { deps, transport } = session;
  session.state = { name: 'authenticating' };
  const ask = {
    counter: deps.nextCounter(),
    token: frame.body,
    cookie: transport.cookie,
    clientIp: transport.clientIp,
    transport: transport.variant,
    withoutCursor: !deps.limits.ver1Cursors,
  };
  const connected = await untilDeadline(session, wanted, (deadlineMs) =>
    deps.logic.connect(ask, { deadlineMs }),
  );
  if (!connected) return;
  if (!waiting(session)) {
    deps.releases.add(connected);
    return goOnAlone(session, connected);
  }
  const room = connected.roomId === '' ? undefined : (connected.roomId as RoomId);
  let entered = false;
  /** Undoes what the handshake wrote; the route is left where it is another connection's by now. */
  const withdraw = (ownsRoute: boolean): void => {
    if (room !== undefined && entered) deps.directory.release(room);
    if (ownsRoute) deps.releases.add(connected);
  };
  try {
    if (room !== undefined) {
      await untilDeadline(session, waiting, async () => {
        await deps.directory.acquire(room);
        entered = true;
      });
    }
    if (!waiting(session)) {
      withdraw(true);
      return goOnAlone(session, connected);
    }
    const kick = deps.earlyKicks.take(connected.owner);
    if (kick) {
      withdraw(kick.code !== CloseCode.TakenOver);
      deps.metrics.handshake('kicked');
      return session.close(kick.code, kick.reason);
    }
    if (!deps.table.add(session, connected)) {
      withdraw(false);
      deps.metrics.handshake('taken_over');
      return session.close(CloseCode.TakenOver, TAKEN_OVER_REASON);
    }
  } catch (error) {
    withdraw(true);
    throw error;
  }
  comeOnline(session, connected, room);
  session.reply(replyFrame(frame, Operation.AuthReply));
  followStream(session, connected);
}

/** op 7 of who is authenticated already: the same operation and seq come back, nothing changes. */
export function onAuthAgain(session: Session, frame: Frame): void {
  session.reply(replyFrame(frame, frame.op));
}

function comeOnline(session: Session, connected: Connected, room: RoomId | undefined): void {
  const { clock, accepts, metrics } = session.deps;
  session.state = { name: 'online', identity: identityOf(connected, clock.now(), clock.monotonicMs()) };
  session.accepts = accepts.of(connected.accepts);
  session.moveTo(room);
  session.renewDeadline(session.state.identity);
  metrics.handshake('ok');
}

/** Goes on in the user's stream, behind the reply. Nothing is read where nothing can have come since its end was looked up. */
function followStream(session: Session, { key, start }: Connected): void {
  if (!start || session.state.name !== 'online') return;
  const atEnd = start.atEnd && !session.deps.earlyHints.missed(start.stream);
  const sink = new HeartbeatSink(session, start.position);
  const inbox = new Follower(session, { key, accepted: true }, { ...start, atEnd }, sink);
  session.following.inbox = inbox;
  inbox.open();
}

function identityOf(connected: Connected, nowMs: number, monotonicMs: number): Identity {
  const { mid, key, owner, heartbeatMs, tokenExpiresAtMs } = connected;
  return {
    mid,
    key,
    owner,
    heartbeatMs: heartbeatMs > 0 ? heartbeatMs : DEFAULT_HEARTBEAT_MS,
    tokenDeadlineMs:
      tokenExpiresAtMs > 0 ? monotonicMs + (tokenExpiresAtMs - nowMs) : Number.POSITIVE_INFINITY,
    mayEnter: roomGrants(connected),
  };
}

/** The client went meanwhile: what it said behind its auth is handed over; its route is not kept. */
function goOnAlone(session: Session, connected: Connected): void {
  if (!wanted(session)) return;
  const { clock, metrics } = session.deps;
  const identity = identityOf(connected, clock.now(), clock.monotonicMs());
  session.state = { name: 'leaving', identity, roomId: connected.roomId };
  session.renewDeadline(identity);
  metrics.handshake('abandoned');
}

/** Repeats what fails temporarily for as long as the session needs it; undefined when it no longer does. */
async function untilDeadline<Answer>(
  session: Session,
  needed: (session: Session) => boolean,
  ask: (deadlineMs: number) => Promise<Answer>,
): Promise<Answer | undefined> {
  const backoff = new Backoff({ baseMs: 50, maxMs: 1_000 });
  while (needed(session)) {
    const leftMs = session.deadlineMs - session.deps.clock.monotonicMs();
    try {
      return await ask(Math.max(1, Math.min(leftMs, ATTEMPT_MS)));
    } catch (thrown) {
      const error = HalleyError.from(thrown);
      if (FINAL.has(error.code) || !error.retryable) throw error;
      session.deps.log.debug({ code: error.code }, 'logic not reached for an auth');
    }
    await backoff.wait();
  }
  return undefined;
}

function waiting(session: Session): boolean {
  return session.state.name === 'authenticating';
}

/** Its client waits, or what it said does. */
function wanted(session: Session): boolean {
  return session.state.name === 'authenticating' || session.state.name === 'departing';
}
