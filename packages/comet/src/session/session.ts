import type { CloseCode } from '@halley/protocol/close-code';
import { CloseCode as Code } from '@halley/protocol/close-code';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import type { RoomId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

import type { CometMetrics } from '../comet-metrics.js';
import type { Receiver } from '../delivery/lane.js';
import { type Encoded, encodeReply, type Variant } from '../delivery/outgoing.js';
import type { Outbox } from '../delivery/outbox.js';
import type { Room } from '../delivery/room.js';
import type { RoomTable } from '../delivery/room-table.js';
import type { LogicLink, SessionRef } from '../logic-link.js';
import type { RoomDirectory } from '../room-directory.js';
import type { Transport } from '../transport/transport.js';
import type { AcceptSet, AcceptSets } from './accepts.js';
import type { Deadlines, Expiring } from './deadlines.js';
import { dispatch } from './dispatch.js';
import type { EarlyKicks } from './early-kicks.js';
import type { Releases } from './releases.js';
import type { SessionTable } from './session-table.js';

/** What the sessions of one node share. */
export interface SessionDeps {
  readonly logic: LogicLink;
  readonly table: SessionTable;
  readonly rooms: RoomTable;
  readonly directory: RoomDirectory;
  readonly deadlines: Deadlines;
  readonly releases: Releases;
  readonly earlyKicks: EarlyKicks;
  readonly accepts: AcceptSets;
  readonly metrics: CometMetrics;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: SessionLimits;
  /** The next connection's number of this incarnation. */
  nextCounter(): number;
}

export interface SessionLimits {
  /** From the accepted connection to the reply to its auth. */
  readonly handshakeTimeoutMs: number;
  /** A closing connection is cut off when the client has not closed its side by then. */
  readonly closeTimeoutMs: number;
  /** Bytes of frames that may come, and are ignored, ahead of the auth. */
  readonly maxEarlyBytes: number;
}

/** Who an authenticated connection is, and what it may do. */
export interface Identity extends SessionRef {
  readonly heartbeatMs: number;
  /** Monotonic milliseconds; Infinity is never. */
  readonly tokenDeadlineMs: number;
  readonly mayEnter: (room: RoomId) => boolean;
}

/**
 * Where a connection stands:
 * greeting → authenticating → online → closing → closed, and from each state to closing or closed.
 */
export type SessionState =
  /** No auth yet; other frames are ignored up to a limit. */
  | { readonly name: 'greeting'; readonly earlyBytes: number }
  /** logic is being asked. */
  | { readonly name: 'authenticating' }
  /** Its route is written; it is in the tables. */
  | { readonly name: 'online'; readonly identity: Identity }
  /** We close it: told the client, waiting for its side. */
  | { readonly name: 'closing' }
  | { readonly name: 'closed' };

const GREETING: SessionState = { name: 'greeting', earlyBytes: 0 };
const CLOSING: SessionState = { name: 'closing' };
const CLOSED: SessionState = { name: 'closed' };
const NO_ACCEPTS: AcceptSet = new Set();

/**
 * One connection. Frames are handled one after another in the order in which they came: while a handler waits for logic,
 * what follows is queued and the socket paused. It leaves all tables before its socket is closed.
 */
export class Session implements Receiver, Expiring {
  roomSlot = -1;
  everyoneSlot = -1;
  deadlineMs = Number.POSITIVE_INFINITY;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;
  accepts: AcceptSet = NO_ACCEPTS;
  room: Room | undefined = undefined;
  state: SessionState = GREETING;
  /** Whether it is counted under its address. */
  entered = false;
  #busy = false;
  #queue: Frame[] | undefined = undefined;

  constructor(
    readonly transport: Transport,
    readonly outbox: Outbox,
    readonly deps: SessionDeps,
    acceptedAtMs: number,
    /** Called once, when the connection is gone. */
    private readonly gone: (session: Session) => void,
  ) {
    deps.deadlines.set(this, acceptedAtMs + deps.limits.handshakeTimeoutMs);
  }

  get variant(): Variant {
    return this.transport.variant;
  }

  /** Still takes frames and may be sent to. */
  get open(): boolean {
    return this.state.name !== 'closing' && this.state.name !== 'closed';
  }

  /** Takes frames in the order in which they came. */
  receive(frames: readonly Frame[]): void {
    for (const frame of frames) {
      if (!this.open) return;
      if (this.#busy) this.#enqueue(frame);
      else this.#handle(frame);
    }
  }

  /** Answers a request; a client that does not read its replies is closed. */
  reply(frame: Frame): void {
    if (!this.open) return;
    if (this.outbox.offer(encodeReply(this.variant, frame))) this.deps.metrics.sent('reply', 1);
    else this.#tooSlow(1);
  }

  /** Sends a push of its own, with what else comes in this tick; one for which there is no room closes it. */
  push(encoded: Encoded): void {
    if (!this.open) return;
    const bytes = this.variant === 'tcp' ? encoded.tcp : encoded.websocket;
    if (this.outbox.offerJoined(bytes)) this.deps.metrics.sent('user', encoded.frames);
    else this.#tooSlow(encoded.frames);
  }

  /** A fault of the client's or of ours: closes with the code of the error. */
  fail(thrown: unknown): void {
    if (!this.open) return;
    const error = HalleyError.from(thrown);
    const fields = { err: error, ip: this.transport.clientIp, state: this.state.name };
    if (error.code === 'internal') this.deps.log.error(fields, 'a handler failed');
    else this.deps.log.debug(fields, 'connection refused');
    if (this.state.name !== 'online') this.deps.metrics.handshake(error.code);
    this.close(error.entry.close, error.code === 'internal' ? 'internal' : error.message);
  }

  /**
   * Leaves the tables and tells the client. `release` is false when the route is known to have another owner by now.
   */
  close(code: CloseCode, reason: string, release = true): void {
    if (!this.open) return;
    this.#leave(release);
    this.state = CLOSING;
    this.deps.metrics.closed(code);
    this.outbox.look();
    this.deps.deadlines.set(this, this.deps.clock.monotonicMs() + this.deps.limits.closeTimeoutMs);
    this.transport.close(code, reason);
  }

  /** The transport's report that the connection is gone. */
  onGone(): void {
    if (this.state.name === 'closed') return;
    if (this.state.name === 'greeting' || this.state.name === 'authenticating') {
      this.deps.metrics.handshake('abandoned');
    }
    this.#leave(true);
    this.state = CLOSED;
    this.#queue = undefined;
    this.deps.deadlines.clear(this);
    this.outbox.close();
    this.gone(this);
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
    if (!queue) return;
    let handled = 0;
    while (handled < queue.length && !this.#busy && this.open) {
      this.#handle(queue[handled] as Frame);
      handled += 1;
    }
    if (this.open && handled < queue.length) {
      queue.splice(0, handled);
      return;
    }
    this.#queue = undefined;
    this.transport.resume();
  }

  /** Leaves rooms and tables, where it is in them. */
  #leave(release: boolean): void {
    if (this.state.name !== 'online') return;
    const { directory, table, releases } = this.deps;
    const { room } = this;
    if (room) {
      this.moveTo(undefined);
      directory.release(room.id);
    }
    table.remove(this);
    if (release) releases.add(this.state.identity);
  }

  #tooSlow(frames: number): void {
    this.deps.metrics.dropped('user_slow', frames);
    this.close(Code.Slow, 'The outbox is full.');
  }
}
