import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';

import {
  encodePushes,
  type Outgoing,
  outgoing,
  outgoingBytes,
  type SharedPush,
} from '../delivery/outgoing.js';
import { type Gap, type HintDecision, type PageNext, Sequencer } from '../delivery/sequencer.js';
import type { Pulled, PullState } from '../delivery/stream-reader.js';
import type { StreamCursor, StreamEntry, StreamPage, StreamRead, StreamStart } from '../logic-link.js';
import type { Expiring } from './deadlines.js';
import type { Session } from './session.js';

/** An entry of a stream, as job tells of it. */
export interface Hint {
  readonly epoch: string;
  readonly position: Position;
  /** No entry of the stream lies strictly between this and the position. */
  readonly prev: Position;
  /** Only these devices of the user; empty is all. */
  readonly keys: readonly string[];
}

/** Most entries and bytes of a page. */
const MAX_PAGE_ENTRIES = 256;
const MAX_PAGE_BYTES = 256 * 1024;
/** What the headers of WebSocket and of op 9 take at most, in front of a page, in bytes. */
const FRAMING_BYTES = 32;
/** A page is read when no more than this part of what an outbox takes is waiting in it. */
const READY_SHARE = 1 / 4;

/**
 * The stream of the user on one connection: whose turn it is, what of it is sent, and where the device goes on when it
 * comes back. What is not the device's, or not wanted, has its turn silently.
 */
export class Inbox implements Pulled, Expiring {
  deadlineMs = Number.POSITIVE_INFINITY;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;
  /** Neighbours among the connections of the same stream; the index's. */
  streamNext: Inbox | undefined = undefined;
  streamPrevious: Inbox | undefined = undefined;
  pull: PullState = 'none';
  rests = 0;
  failed = false;
  closed = false;
  readonly stream: string;
  #epoch: string;
  readonly #sequencer: Sequencer;
  /** Whether hints may have been lost since the read under way began. */
  #suspect = false;
  /** The next entry fits into an empty outbox only. */
  #needsEmpty = false;
  readonly #keepsCursor: boolean;
  /** What had left the outbox by the heartbeat before the last. */
  #saved: Position;
  /** What had left it by the last heartbeat. */
  #mark: Position;
  /** Everything up to `#sentThrough` has left once the outbox has let go of `#sentBytes`. */
  #sentThrough: Position;
  #sentBytes = 0;

  constructor(
    private readonly session: Session,
    private readonly key: string,
    start: StreamStart,
  ) {
    this.stream = start.stream;
    this.#epoch = start.epoch;
    this.#sequencer = new Sequencer(start.position, start.atEnd);
    this.#keepsCursor = start.kept;
    this.#saved = this.#mark = this.#sentThrough = start.position;
  }

  /** Whether hints are sent as they come. */
  get live(): boolean {
    return this.#sequencer.live;
  }

  /** Up to where everything had its turn. */
  get last(): Position {
    return this.#sequencer.last;
  }

  /** Where the device goes on when it comes back; undefined when it is not known again. */
  get cursor(): StreamCursor | undefined {
    if (!this.#keepsCursor) return undefined;
    return { stream: this.stream, epoch: this.#epoch, position: this.#saved };
  }

  /** Follows the stream from now on: its connection is online. */
  open(): void {
    this.session.deps.streams.add(this);
    if (!this.live) this.session.deps.reader.want(this);
  }

  /** Follows it no longer. */
  close(): void {
    this.closed = true;
    this.session.deps.streams.remove(this);
    this.session.deps.reader.forget(this);
  }

  /** Takes an entry that job tells of, of which `push` is the content. */
  hint(hint: Hint, push: SharedPush): HintDecision {
    // Positions of different epochs cannot be compared.
    if (hint.epoch !== this.#epoch) return this.suspect();
    const sequencer = this.#sequencer;
    const { session } = this;
    const due = push.hasBody && sequencer.live && hint.position > sequencer.last;
    const encoded = due && this.#wants(push, hint.keys) ? push.encoded : undefined;
    const sendable = due && (!encoded || session.outbox.admits(encoded[session.variant].length));
    const decision = sequencer.hint(hint.position, hint.prev, sendable);
    if (decision === 'send' && encoded) session.push(encoded);
    else if (decision === 'pull') session.deps.reader.want(this);
    return decision;
  }

  /** A renewal told the newest position of the stream. */
  renewed(newest: Position): void {
    if (this.#sequencer.renewed(newest) === 'pull') this.session.deps.reader.want(this);
  }

  /** Hints may have been lost, nobody knows which: reads the stream. */
  suspect(): 'pull' {
    this.#sequencer.suspect();
    this.#suspect = true;
    this.session.deps.reader.want(this);
    return 'pull';
  }

  /** A heartbeat came: what had left by the last one the client has had a whole interval to take. */
  beat(): void {
    const { outbox } = this.session;
    outbox.look();
    this.#saved = this.#mark;
    if (outbox.left >= this.#sentBytes) this.#mark = this.#sentThrough;
    if (outbox.bufferedBytes === 0) this.#mark = this.last;
    if (this.#mark >= this.#sentThrough) {
      this.#sentThrough = this.last;
      this.#sentBytes = outbox.written;
    }
  }

  ready(): boolean {
    const { outbox } = this.session;
    outbox.look();
    const most = this.#needsEmpty ? 0 : outbox.maxBytes * READY_SHARE;
    if (outbox.bufferedBytes <= most) return true;
    outbox.tellDrained();
    return false;
  }

  read(): StreamRead {
    this.#suspect = false;
    return {
      stream: this.stream,
      epoch: this.#epoch,
      after: this.last,
      maxEntries: MAX_PAGE_ENTRIES,
      maxBytes: Math.max(1, Math.min(MAX_PAGE_BYTES, this.session.outbox.room())),
    };
  }

  take(page: StreamPage): PageNext {
    const { session } = this;
    session.deps.metrics.streams.page(page.entries.length);
    if (page.epoch !== this.#epoch) this.#restart(page);
    const pushes: Outgoing[] = [];
    const taken = this.#fill(page, pushes);
    const { gap, next } = this.#sequencer.page(taken);
    if (gap) this.#lost(gap);
    if (pushes.length > 0) session.push(encodePushes(pushes));
    this.#needsEmpty = taken !== page && pushes.length === 0;
    if (next === 'live' && this.#suspect) {
      this.#sequencer.suspect();
      return 'again';
    }
    return next;
  }

  fail(error: unknown): void {
    this.session.fail(error);
  }

  onDeadline(): void {
    this.session.deps.reader.rested(this);
  }

  /** Collects what is to be sent of a page, as much as the outbox takes, and answers the page up to there. */
  #fill(page: StreamPage, pushes: Outgoing[]): StreamPage {
    const { outbox } = this.session;
    let room = outbox.room() - FRAMING_BYTES;
    const empty = outbox.bufferedBytes === 0;
    const { last } = this;
    for (const [index, entry] of page.entries.entries()) {
      if (entry.position <= last || !this.#wantsEntry(entry)) continue;
      const push = outgoing(entry.operation, entry.body);
      room -= outgoingBytes(push);
      if (room < 0 && !(empty && pushes.length === 0)) {
        const through = page.entries[index - 1]?.position ?? page.gap?.through ?? last;
        return { ...page, entries: page.entries.slice(0, index), through, more: true };
      }
      pushes.push(push);
    }
    return page;
  }

  #wantsEntry(entry: StreamEntry): boolean {
    const late = entry.expireAtMs > 0 && entry.expireAtMs <= this.session.deps.clock.now();
    if (late) this.session.deps.metrics.dropped('expired', 1);
    return !late && this.#accepts(entry.operation, entry.keys);
  }

  #wants(push: SharedPush, keys: readonly string[]): boolean {
    return !push.expired && this.#accepts(push.operation, keys);
  }

  #accepts(operation: number, keys: readonly string[]): boolean {
    return this.session.accepts.has(operation) && (keys.length === 0 || keys.includes(this.key));
  }

  /** The bus began anew: nothing is known of what the positions until now meant. */
  #restart(page: StreamPage): void {
    const floor = page.gap?.through ?? BEFORE_ALL;
    this.#lost({ after: this.last, through: floor });
    this.#epoch = page.epoch;
    this.#sequencer.restart(floor);
    this.#saved = this.#mark = this.#sentThrough = floor;
    this.#sentBytes = this.session.outbox.written;
  }

  /** goim's clients cannot be told. */
  #lost({ after, through }: Gap): void {
    const { metrics, log } = this.session.deps;
    metrics.streams.gap();
    log.warn({ stream: this.stream, epoch: this.#epoch, after, through }, 'entries cannot be read any more');
  }
}
