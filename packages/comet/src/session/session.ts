import type { CloseCode } from '@halley/protocol/close-code';
import { CloseCode as Code } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import type { RoomId } from '@halley/protocol/ids';

import type { Receiver } from '../delivery/lane.js';
import { type Encoded, encodeReply, formatOf, type Variant } from '../delivery/format.js';
import type { Outbox, OutboxOwner } from '../delivery/outbox.js';
import type { Room } from '../delivery/room.js';
import type { SessionEnd } from '../logic-link.js';
import type { Transport } from '../transport/transport.js';
import type { AcceptSet } from './accepts.js';
import type { Expiring } from './deadlines.js';
import { dispatch } from './dispatch.js';
import type { Follower } from './follower.js';
import { Following } from './following.js';
import type { SessionDeps } from './session-deps.js';
import { LEFT } from './session-end.js';
import type { Identity } from './identity.js';
import type { SessionState } from './session-state.js';
import type { Version2 } from './v2/version2.js';

const GREETING: SessionState = { name: 'greeting', earlyBytes: 0 };
const DEPARTING: SessionState = { name: 'departing' };
const CLOSING: SessionState = { name: 'closing' };
const CLOSED: SessionState = { name: 'closed' };
const NO_ACCEPTS: AcceptSet = new Set();

/**
 * One connection. Frames are handled one after another in the order in which they came: while a handler waits for logic,
 * what follows is queued and the socket paused. It leaves all tables before its socket is closed.
 *
 * What was received before the client ended its side, left, or sent something malformed is handled first, then the
 * connection ends. While the client may still read it stays online until then, and is answered; once it is gone it leaves
 * the tables at once, and only what concerns the business is still handed over. What ends that early, and drops the rest:
 * a handler that fails, a deadline, a close of ours (taken over, kicked, too slow, draining).
 */
export class Session implements Receiver, Expiring, OutboxOwner {
  roomSlot = -1;
  everyoneSlot = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;
  #accepts: AcceptSet = NO_ACCEPTS;
  /** How frames leave to it; with version 2 another once that is agreed on, ahead of its being in any room. */
  format: number;
  room: Room | undefined = undefined;
  /** The streams that it follows, while it is online. */
  readonly following = new Following();
  /** What it has with version 2, from its auth on. */
  v2: Version2 | undefined = undefined;
  state: SessionState = GREETING;
  /** Whether it is counted under its address. */
  entered = false;
  #busy = false;
  #queue: Frame[] | undefined = undefined;
  /** What is done once everything received is handled; nothing is received any more. */
  #atEnd: (() => void) | undefined = undefined;

  constructor(
    readonly transport: Transport,
    readonly outbox: Outbox,
    readonly deps: SessionDeps,
    acceptedAtMs: number,
    /** Called once, when the connection is gone. */
    private readonly gone: (session: Session) => void,
  ) {
    deps.deadlines.set(this, acceptedAtMs + deps.limits.handshakeTimeoutMs);
    outbox.owner = this;
    this.format = formatOf(transport.variant);
  }

  get accepts(): AcceptSet {
    return this.#accepts;
  }

  set accepts(accepts: AcceptSet) {
    this.#accepts = accepts;
    this.outbox.describe(this.format, accepts);
  }

  get variant(): Variant {
    return this.transport.variant;
  }

  /** The room that counts for its heartbeats and for what it says to the business. */
  get home(): Room | undefined {
    return this.v2 ? this.v2.homeRoom : this.room;
  }

  /** The device's key, while it is online; else empty. */
  get deviceKey(): string {
    return this.state.name === 'online' ? this.state.identity.key : '';
  }

  /** Its user's stream, while it is online; anonymous connections have none. */
  get inbox(): Follower | undefined {
    return this.following.inbox;
  }

  /** Still takes frames and may be sent to. */
  get open(): boolean {
    const { name } = this.state;
    return name === 'online' || name === 'greeting' || name === 'authenticating';
  }

  /** Its client is gone, what it said is not done. */
  get #gone(): boolean {
    return this.state.name === 'departing' || this.state.name === 'leaving';
  }

  /** Takes frames in the order in which they came. */
  receive(frames: readonly Frame[]): void {
    for (const frame of frames) {
      if (!this.open || this.#atEnd) return;
      if (this.#busy) this.#enqueue(frame);
      else this.#handle(frame);
    }
  }

  /** Nothing more can be read, because of this fault: closes with its code, behind what came before. */
  refuse(fault: unknown): void {
    this.#endWith(() => this.fail(fault));
  }

  /**
   * The client has ended its side and may still read: closes behind what came before. One of which nothing but its auth
   * came is not waited for.
   */
  onLeft(): void {
    if (this.state.name === 'authenticating' && !this.#queue) this.#depart();
    else this.#endWith(() => this.#depart());
  }

  /** Its client asked for version 2, with which everything is told from now on. */
  speak(v2: Version2): void {
    this.v2 = v2;
    this.format = v2.format;
  }

  /** Answers a request; a client that does not read its replies is closed. */
  reply(frame: Frame): void {
    if (!this.open) return;
    if (this.outbox.offer(encodeReply(this.format, frame))) this.deps.metrics.sent('reply', 1);
    else this.#tooSlow(1);
  }

  /**
   * Sends a push of its own, with what else comes in this tick. One for which there is no room closes it, or is dropped where
   * that is allowed; answers whether there was room, or nothing to be sent.
   */
  push(encoded: Encoded, droppable = false): boolean {
    if (!this.open) return true;
    const bytes = encoded.bytes(this.format);
    if (bytes.length === 0) return true;
    const frames = encoded.frames(this.format);
    if (this.outbox.offerJoined(bytes)) {
      this.deps.metrics.sent('user', frames);
      return true;
    }
    if (droppable) this.deps.metrics.dropped('user_slow', frames);
    else this.#tooSlow(frames);
    return false;
  }

  /** The outbox's call. */
  onDrained(): void {
    this.following.each((follower) => this.deps.reader.drained(follower));
  }

  /** The outbox's call. */
  onFrozen(): void {
    if (!this.open) return;
    this.deps.metrics.streams.frozen();
    this.close(Code.Slow, 'Nothing was read for too long.');
  }

  /** A fault of the client's or of ours: closes with the code of the error. */
  fail(thrown: unknown): void {
    if (!this.open && !this.#gone) return;
    const error = HalleyError.from(thrown);
    const fields = { err: error, ip: this.transport.clientIp, state: this.state.name };
    if (error.code === 'internal') this.deps.log.error(fields, 'a handler failed');
    else this.deps.log.debug(fields, 'connection refused');
    if (this.state.name !== 'online' && this.state.name !== 'leaving')
      this.deps.metrics.handshake(error.code);
    this.close(error.entry.close, error.code === 'internal' ? 'internal' : error.message);
  }

  /**
   * Leaves the tables and tells the client; what is queued is dropped. `release` is false when the route is known to have
   * another owner by now.
   */
  close(code: CloseCode, reason: string, release = true): void {
    if (this.#gone) this.#finish();
    if (!this.open) return;
    this.deps.metrics.closed(code);
    if (this.v2) this.outbox.last(encodeReply(this.format, this.v2.lastWords(code, reason)));
    this.#beginClosing(release ? { code, reason } : undefined);
    this.transport.close(code, reason);
  }

  /** The transport's report that the connection is gone. */
  onGone(): void {
    const { state } = this;
    if (state.name === 'closed' || this.#gone) return;
    this.outbox.close();
    if (this.#queue && (state.name === 'authenticating' || state.name === 'online')) {
      if (this.deps.leavers.tryAdd(this)) return this.#goOnAlone(state);
      this.deps.log.warn(
        { frames: this.#queue.length },
        'too many leave at once: what this one had said is dropped',
      );
    }
    if (state.name === 'greeting' || state.name === 'authenticating')
      this.deps.metrics.handshake('abandoned');
    this.#leave(LEFT);
    this.#finish();
  }

  /** The wheel's call. */
  onDeadline(): void {
    const { metrics, clock, deadlines } = this.deps;
    switch (this.state.name) {
      case 'greeting':
        metrics.handshake('timeout');
        this.close(Code.HandshakeTimeout, 'No auth in time.');
        break;
      case 'authenticating':
        metrics.handshake('unavailable');
        this.close(Code.Unavailable, 'Not authenticated in time.');
        break;
      case 'online':
        if (clock.monotonicMs() >= this.state.identity.tokenDeadlineMs) {
          this.close(Code.TokenExpired, 'The token has expired.');
        } else {
          this.close(Code.HeartbeatTimeout, 'No heartbeat in time.');
        }
        break;
      case 'departing':
        metrics.handshake('unavailable');
        this.#finish();
        break;
      case 'leaving':
        this.#finish();
        break;
      case 'closing':
        this.transport.destroy();
        // The socket says so too, a moment later; a transport that does not must not be called for ever.
        deadlines.clear(this);
        break;
      case 'closed':
        break;
    }
  }

  /** Lives from now on until it misses its heartbeats, or its token expires. */
  renewDeadline(identity: Identity): void {
    const deadlineMs = Math.min(
      this.deps.clock.monotonicMs() + identity.heartbeatMs,
      identity.tokenDeadlineMs,
    );
    // A later deadline needs no move in the wheel.
    if (this.wheelSlot >= 0 && deadlineMs >= this.deadlineMs) this.deadlineMs = deadlineMs;
    else this.deps.deadlines.set(this, deadlineMs);
  }

  /** Changes the room's members at once; the room directory is the caller's business. */
  moveTo(room: RoomId | undefined): void {
    if (this.room) this.deps.rooms.leave(this.room, this);
    this.room = room === undefined ? undefined : this.deps.rooms.join(room, this);
  }

  #handle(frame: Frame): void {
    try {
      const pending = dispatch(this, frame);
      if (pending) {
        this.#busy = true;
        void this.#settle(pending);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  async #settle(pending: Promise<void>): Promise<void> {
    try {
      await pending;
    } catch (error) {
      this.fail(error);
    }
    this.#busy = false;
    this.#drain();
  }

  #enqueue(frame: Frame): void {
    if (!this.#queue) {
      this.#queue = [];
      this.transport.pause();
    }
    this.#queue.push(frame);
  }

  #drain(): void {
    const queue = this.#queue;
    if (queue) {
      let handled = 0;
      while (handled < queue.length && !this.#busy && (this.open || this.#gone)) {
        this.#handle(queue[handled] as Frame);
        handled += 1;
      }
      if (handled < queue.length && (this.open || this.#gone)) {
        queue.splice(0, handled);
        return;
      }
      this.#queue = undefined;
      if (!this.#atEnd) this.transport.resume();
    }
    if (!this.#busy) this.#atEnd?.();
  }

  #endWith(end: () => void): void {
    if (!this.open || this.#atEnd) return;
    if (this.#busy) this.#atEnd = end;
    else end();
  }

  /** Answers the client's own end with ours. */
  #depart(): void {
    if (!this.open) return;
    if (this.state.name !== 'online') this.deps.metrics.handshake('abandoned');
    this.#beginClosing(LEFT);
    this.transport.end();
  }

  #beginClosing(end: SessionEnd | undefined): void {
    this.#leave(end);
    this.state = CLOSING;
    this.outbox.spill();
    this.deps.deadlines.set(this, this.deps.clock.monotonicMs() + this.deps.limits.closeTimeoutMs);
  }

  /** Hands over what is queued, without its client. Its deadline stays as it is: no call may hold it for ever. */
  #goOnAlone(state: SessionState): void {
    this.#atEnd = () => this.#finish();
    if (state.name === 'online') {
      const roomId = this.home?.id ?? '';
      this.#leave(LEFT);
      this.state = { name: 'leaving', identity: state.identity, roomId };
    } else {
      this.state = DEPARTING;
    }
  }

  #finish(): void {
    if (this.state.name === 'closed') return;
    this.state = CLOSED;
    this.#queue = undefined;
    this.#atEnd = undefined;
    this.deps.deadlines.clear(this);
    this.outbox.close();
    this.deps.leavers.delete(this);
    this.gone(this);
  }

  /** Leaves rooms and tables, where it is in them. Without an end its route is left: it has another owner. */
  #leave(end: SessionEnd | undefined): void {
    if (this.state.name !== 'online') return;
    const { directory, table, releases } = this.deps;
    const { room, following } = this;
    const cursor = following.inbox?.cursor;
    following.close();
    if (room) {
      this.moveTo(undefined);
      directory.release(room.id);
    }
    this.v2?.leave();
    table.remove(this);
    if (end) releases.add(this.state.identity, cursor, end);
  }

  #tooSlow(frames: number): void {
    this.deps.metrics.dropped('user_slow', frames);
    this.close(Code.Slow, 'The outbox is full.');
  }
}
