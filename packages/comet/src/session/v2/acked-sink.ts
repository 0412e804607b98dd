import { GapReason } from '@halley/protocol/client/bodies';
import { CloseCode } from '@halley/protocol/close-code';
import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';

import { deliverFrame, entryOf, type SharedPush } from '../../delivery/encoded.js';
import { SharedFrames } from '../../delivery/format.js';
import type { Gap } from '../../delivery/sequencer.js';
import type { StreamCursor, StreamEntry } from '../../logic-link.js';
import type { Session } from '../session.js';
import type { Budget, Place, Sink } from '../sink.js';
import { Window } from './window.js';

/** What a frame takes beside its entries, and an entry beside its texts and its body, in bytes, at most. */
const FRAME_BYTES = 512;
const ENTRY_BYTES = 128;
/** A page is read when no more than this part of what an outbox takes is waiting in it. */
const READY_SHARE = 1 / 4;

interface DeclaredGap extends Gap {
  readonly reason: number;
}

/**
 * A stream of a connection with version 2: Deliver frames, as many ahead of the client's acknowledgements as its window
 * takes. Where it goes on is what it acknowledged. Behind a full window the stream is read later, and a client that
 * acknowledges nothing while more is there for it is closed.
 */
export class AckedSink implements Sink {
  readonly acknowledged = true;
  readonly #stream: string;
  #epoch: string;
  /** Where the last frame ended. */
  #sentThrough: Position;
  #acked: Position;
  readonly #window: Window;
  /** What the next frame has to declare. */
  #gap: DeclaredGap | undefined;
  /** Since when something waits for acknowledgements and none came, monotonic milliseconds. */
  #stuckSinceMs: number | undefined;

  constructor(
    private readonly session: Session,
    { stream, epoch, position }: StreamCursor,
  ) {
    this.#stream = stream;
    this.#epoch = epoch;
    this.#sentThrough = this.#acked = position;
    this.#window = new Window(session.deps.limits);
  }

  ready(empty: boolean): boolean {
    const { outbox } = this.session;
    if (this.#window.full || (empty && this.#window.entries > 0)) {
      this.#wait();
      return false;
    }
    this.#stuckSinceMs = undefined;
    outbox.look();
    if (outbox.bufferedBytes <= (empty ? 0 : outbox.maxBytes * READY_SHARE)) return true;
    outbox.tellDrained();
    return false;
  }

  budget(): Budget {
    const { outbox } = this.session;
    const bytes = Math.min(outbox.room() - FRAME_BYTES, this.#window.freeBytes);
    const one = outbox.bufferedBytes === 0 && this.#window.entries === 0;
    return { entries: this.#window.freeEntries, bytes, one };
  }

  bytesOf({ body, id, traceparent, sender }: StreamEntry): number {
    const texts = id.length + traceparent.length + (sender ? sender.key.length + sender.clientId.length : 0);
    return body.length + 3 * texts + ENTRY_BYTES;
  }

  admits(push: SharedPush): boolean {
    const bytes = push.bodyBytes + FRAME_BYTES + ENTRY_BYTES;
    return !this.#gap && this.#window.admits(push.bodyBytes) && this.session.outbox.admits(bytes);
  }

  send(push: SharedPush, position: Position): void {
    this.session.push(push.delivered(this.#stream, this.#sentThrough));
    this.#window.add(position, push.bodyBytes);
    this.#sentThrough = position;
  }

  page(page: readonly StreamEntry[], place: Place): void {
    if (page.length === 0 && !this.#gap) return;
    // A frame without entries can wait for the next.
    if (page.length === 0 && !this.session.outbox.admits(FRAME_BYTES)) return;
    this.#deliver(page, place);
  }

  lost({ after, through }: Gap): void {
    const { reason, after: from } = this.#gap ?? { reason: GapReason.Retention, after };
    this.#gap = { reason, after: from, through };
  }

  restart(epoch: string, floor: Position): void {
    this.#epoch = epoch;
    this.#sentThrough = this.#acked = BEFORE_ALL;
    this.#window.clear();
    this.#gap = { reason: GapReason.Epoch, after: BEFORE_ALL, through: floor };
  }

  /** Moves the client's cursor over what was not for it. */
  beat(last: Position): void {
    if (last <= this.#sentThrough || !this.session.outbox.admits(FRAME_BYTES)) return;
    this.#deliver([], { through: last, more: false });
  }

  acked(position: Position): boolean {
    if (position <= this.#acked || position > this.#sentThrough) return false;
    this.#acked = position;
    this.#window.acked(position);
    this.#stuckSinceMs = undefined;
    return true;
  }

  left(last: Position): Position {
    const { outbox } = this.session;
    outbox.look();
    return outbox.bufferedBytes === 0 ? last : this.#acked;
  }

  /** What was acknowledged; or all that had its turn, where the rest was not for the client. */
  cursor(last: Position): Position {
    return this.#acked < this.#sentThrough || this.#gap ? this.#acked : last;
  }

  #deliver(page: readonly StreamEntry[], { through, more }: Place): void {
    const frame = deliverFrame({
      stream: this.#stream,
      epoch: this.#epoch,
      after: this.#sentThrough,
      entries: page.map((entry) => entryOf(entry.operation, entry.body, entry, entry.position)),
      through,
      gap: this.#gap,
      more,
    });
    this.session.push(new SharedFrames([frame], Math.max(1, page.length)));
    for (const { position, body } of page) this.#window.add(position, body.length);
    this.#sentThrough = through;
    this.#gap = undefined;
  }

  #wait(): void {
    const { deps } = this.session;
    const now = deps.clock.monotonicMs();
    this.#stuckSinceMs ??= now;
    if (now - this.#stuckSinceMs < deps.limits.ackTimeoutMs) return;
    deps.metrics.version2.unacknowledged();
    this.session.close(CloseCode.Slow, 'Nothing was acknowledged for too long.');
  }
}
