import type { Position } from '@halley/store/streams/streams';

import { encodePushes, type SharedPush } from '../delivery/encoded.js';
import { outgoing, outgoingBytes } from '../delivery/outgoing.js';
import type { StreamEntry } from '../logic-link.js';
import type { Session } from './session.js';
import type { Budget, Place, Sink } from './sink.js';

/** What the headers of WebSocket and of op 9 take at most, in front of a page, in bytes. */
const FRAMING_BYTES = 32;
/** A page is read when no more than this part of what an outbox takes is waiting in it. */
const READY_SHARE = 1 / 4;

/**
 * The stream of a connection with version 1: bare frames, as many as its outbox takes. Its client acknowledges nothing:
 * where it goes on is what had left the outbox by the heartbeat before the last. It cannot be told what is missing.
 */
export class HeartbeatSink implements Sink {
  readonly acknowledged = false;
  /** What had left the outbox by the heartbeat before the last. */
  #saved: Position;
  /** What had left it by the last heartbeat. */
  #mark: Position;
  /** Everything up to `#sentThrough` has left once the outbox has let go of `#sentBytes`. */
  #sentThrough: Position;
  #sentBytes = 0;

  constructor(
    private readonly session: Session,
    start: Position,
  ) {
    this.#saved = this.#mark = this.#sentThrough = start;
  }

  ready(empty: boolean): boolean {
    const { outbox } = this.session;
    outbox.look();
    const most = empty ? 0 : outbox.maxBytes * READY_SHARE;
    if (outbox.bufferedBytes <= most) return true;
    outbox.tellDrained();
    return false;
  }

  budget(): Budget {
    const { outbox } = this.session;
    const bytes = outbox.room() - FRAMING_BYTES;
    return { entries: Number.POSITIVE_INFINITY, bytes, one: outbox.bufferedBytes === 0 };
  }

  bytesOf(entry: StreamEntry): number {
    return outgoingBytes(outgoing(entry.operation, entry.body));
  }

  admits(push: SharedPush): boolean {
    return this.session.outbox.admits(push.encoded.bytes(this.session.format).length);
  }

  send(push: SharedPush): void {
    this.session.push(push.encoded);
  }

  page(entries: readonly StreamEntry[], _place: Place): void {
    if (entries.length === 0) return;
    this.session.push(encodePushes(entries.map(({ operation, body }) => outgoing(operation, body))));
  }

  lost(): void {}

  restart(_epoch: string, floor: Position): void {
    this.#saved = this.#mark = this.#sentThrough = floor;
    this.#sentBytes = this.session.outbox.written;
  }

  /** What had left by the last heartbeat the client has had a whole interval to take. */
  beat(last: Position): void {
    const { outbox } = this.session;
    outbox.look();
    this.#saved = this.#mark;
    if (outbox.left >= this.#sentBytes) this.#mark = this.#sentThrough;
    if (outbox.bufferedBytes === 0) this.#mark = last;
    if (this.#mark >= this.#sentThrough) {
      this.#sentThrough = last;
      this.#sentBytes = outbox.written;
    }
  }

  /** Its client does not. */
  acked(): boolean {
    return false;
  }

  left(last: Position): Position {
    const { outbox } = this.session;
    outbox.look();
    if (outbox.bufferedBytes === 0) return last;
    return outbox.left >= this.#sentBytes ? Math.max(this.#mark, this.#sentThrough) : this.#mark;
  }

  cursor(): Position {
    return this.#saved;
  }
}
