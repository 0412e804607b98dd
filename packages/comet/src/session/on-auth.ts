import { type AuthRequest, readAuth } from '@halley/protocol/client/auth';
import { CloseCode } from '@halley/protocol/close-code';
import { type ErrorCode, HalleyError } from '@halley/protocol/error';
import { type Frame, replyFrame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';
import { Backoff } from '@halley/service/backoff';

import type { Connected, SessionEnd } from '../logic-link.js';
import { rightsOf } from './rights.js';
import { follow } from './follow.js';
import { type Home, prepareHome } from './home.js';
import type { Session } from './session.js';
import type { SessionDeps } from './session-deps.js';
import { LEFT } from './session-end.js';
import { Identity } from './identity.js';
import { TAKEN_OVER_REASON } from './session-table.js';
import { replyVersion2 } from './v2/auth-reply.js';
import { Version2 } from './v2/version2.js';

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
  const asked = deps.limits.version2 ? askedVersion2(session, frame.body) : undefined;
  // Of what was asked only this is kept: the token is not.
  const v2 = asked && new Version2(session, { deflate: asked.deflate, checksum: asked.checksum });
  if (v2) session.speak(v2);
  const ask = {
    counter: deps.nextCounter(),
    token: asked?.token ?? frame.body,
    cookie: transport.cookie,
    clientIp: transport.clientIp,
    transport: transport.variant,
    withoutCursor: !v2 && !deps.limits.ver1Cursors,
    ...(asked ? { version2: { cursor: asked.cursor, start: asked.start } } : {}),
  };
  const connected = await untilDeadline(session, wanted, (deadlineMs) =>
    deps.logic.connect(ask, { deadlineMs }),
  );
  if (!connected) return;
  const identity = identityOf(connected, deps);
  if (!waiting(session)) {
    deps.releases.add(connected, undefined, LEFT);
    return goOnAlone(session, identity, connected.roomId);
  }
  let home: Home | undefined;
  /** Undoes what the handshake wrote; the route is left where it is another connection's by now. */
  const withdraw = (end: SessionEnd | undefined): void => {
    home?.withdraw();
    if (end) deps.releases.add(connected, undefined, end);
  };
  try {
    home = await untilDeadline(session, waiting, () => prepareHome(session, identity, connected.roomId));
    if (!waiting(session)) {
      withdraw(LEFT);
      return goOnAlone(session, identity, connected.roomId);
    }
    const kick = deps.earlyKicks.take(connected.owner);
    if (kick) {
      withdraw(kick.code === CloseCode.TakenOver ? undefined : kick);
      deps.metrics.handshake('kicked');
      return session.close(kick.code, kick.reason);
    }
    if (!deps.table.add(session, connected)) {
      withdraw(undefined);
      deps.metrics.handshake('taken_over');
      return session.close(CloseCode.TakenOver, TAKEN_OVER_REASON);
    }
  } catch (error) {
    const { entry, message } = HalleyError.from(error);
    withdraw({ code: entry.close, reason: message });
    throw error;
  }
  comeOnline(session, identity, connected, home);
  if (v2) replyVersion2(session, v2, frame.seq, identity, connected);
  else session.reply(replyFrame(frame, Operation.AuthReply));
  followInbox(session, connected);
  followEveryone(session, connected);
}

/** What the body of 7 asks for, where it is version 2. Throws `bad_token`, which the client is told in words of version 2. */
function askedVersion2(session: Session, body: Uint8Array): AuthRequest | undefined {
  try {
    const asked = readAuth(body);
    return asked.version === 2 ? asked : undefined;
  } catch (error) {
    session.speak(new Version2(session, { deflate: false, checksum: false }));
    throw error;
  }
}

/** op 7 of who is authenticated already: the same operation and seq come back, nothing changes. */
export function onAuthAgain(session: Session, frame: Frame): void {
  session.reply(replyFrame(frame, frame.op));
}

function comeOnline(
  session: Session,
  identity: Identity,
  connected: Connected,
  home: Home | undefined,
): void {
  const { accepts, metrics } = session.deps;
  session.state = { name: 'online', identity };
  session.accepts = accepts.of(connected.accepts);
  home?.enter();
  session.renewDeadline(identity);
  metrics.handshake('ok');
}

/** Goes on in the user's stream, behind the reply. */
function followInbox(session: Session, { key, start }: Connected): void {
  if (!start || session.state.name !== 'online') return;
  const inbox = follow(session, { key, accepted: true }, start);
  session.following.inbox = inbox;
  inbox.open();
}

/** Everyone's stream, where it is kept, begins with the connection. */
function followEveryone(session: Session, { key, everyone }: Connected): void {
  if (!everyone || session.state.name !== 'online') return;
  const start = { ...everyone, atEnd: true, kept: false };
  session.following.add(follow(session, { key, accepted: true }, start));
}

function identityOf(connected: Connected, deps: SessionDeps): Identity {
  const heartbeatMs = connected.heartbeatMs > 0 ? connected.heartbeatMs : DEFAULT_HEARTBEAT_MS;
  return new Identity(connected, heartbeatMs, rightsOf(connected, deps));
}

/** The client went meanwhile: what it said behind its auth is handed over; its route is not kept. */
function goOnAlone(session: Session, identity: Identity, roomId: string): void {
  if (!wanted(session)) return;
  session.state = { name: 'leaving', identity, roomId };
  session.renewDeadline(identity);
  session.deps.metrics.handshake('abandoned');
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
