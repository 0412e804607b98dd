import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';

import type { SharedPush } from '../delivery/encoded.js';
import { type About, isLate } from '../delivery/outgoing.js';
import type { HintOutcome } from '../delivery/hint-walk.js';
import { type Gap, type HintDecision, type PageNext, Sequencer } from '../delivery/sequencer.js';
import type { Pulled, PullState } from '../delivery/stream-reader.js';
import type {
  LeftOutEntry,
  StreamCursor,
  StreamEntry,
  StreamPage,
  StreamRead,
  StreamStart,
} from '../logic-link.js';
import type { Expiring } from './deadlines.js';
import { HeldHints } from './held-hints.js';
import type { Session } from './session.js';
import type { Sink } from './sink.js';

/** An entry of a stream, as job tells of it. */
export interface Hint {
  readonly epoch: string;
  readonly position: Position;
  /** No entry of the stream lies strictly between this and the position. */
  readonly prev: Position;
  /** Only these devices of the user; empty is all. */
  readonly keys: readonly string[];
}

/** Which entries of a stream are a connection's. */
export interface Choice {
  /** The connection's key, for entries that are for some devices alone. */
  readonly key: string;
  /** Whether only operations that the connection accepts are sent; who is in a room gets everything. */
  readonly accepted: boolean;
}

/** An entry of which somebody asks how far the connection is with it. */
export interface AskedEntry {
  readonly epoch: string;
  readonly position: Position;
  /** Only these devices of the user; empty is all. */
  readonly keys: readonly string[];
  readonly operation: number;
}

/** How far a connection is with an entry. */
export type Progress =
  /** Its turn has not come. */
  | 'waiting'
  /** It is in the outbox. */
  | 'sending'
  /** It has left the node. */
  | 'sent'
  /** The device has it: it said so, or a heartbeat came afterwards. */
  | 'acknowledged'
  /** It is for other devices of the user. */
  | 'other_devices'
  /** The connection does not accept the operation. */
  | 'not_accepted'
  /** It stands at or in front of where the connection began. */
  | 'earlier';

/** Whose follower it is. */
export interface FollowedBy {
  readonly mid: string;
  readonly key: string;
  readonly transport: string;
  readonly version: 1 | 2;
  /** Unix milliseconds; 0 is unknown. */
  readonly connectedAtMs: number;
}

/** Most entries and bytes of a page. */
const MAX_PAGE_ENTRIES = 256;
const MAX_PAGE_BYTES = 256 * 1024;

/**
 * One stream on one connection: whose turn it is, and what of it is sent. What is not the device's, or not wanted, has its
 * turn silently. How it is sent, how much of it at once, and where the device goes on when it comes back is its sink's.
 */
export class Follower implements Pulled, Expiring {
  deadlineMs = Number.POSITIVE_INFINITY;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;
  /** Neighbours among the followers of the same stream; the index's. */
  streamNext: Follower | undefined = undefined;
  streamPrevious: Follower | undefined = undefined;
  pull: PullState = 'none';
  rests = 0;
  failed = false;
  closed = false;
  readonly stream: string;
  #epoch: string;
  readonly #sequencer: Sequencer;
  /** Where the connection began in the stream. */
  #begin: Position;
  /** Up to where it was told what the device has acknowledged. */
  #told: Position;
  /** Whether hints may have been lost since the read under way began. */
  #suspect = false;
  /** The next entry goes only when nothing is ahead of it. */
  #needsEmpty = false;
  /** What came while the stream was read. */
  #held: HeldHints | undefined = undefined;
  readonly #keepsCursor: boolean;
  readonly #key: string;
  readonly #accepted: boolean;

  constructor(
    private readonly session: Session,
    { key, accepted }: Choice,
    start: StreamStart,
    readonly sink: Sink,
  ) {
    this.#key = key;
    this.#accepted = accepted;
    this.stream = start.stream;
    this.#epoch = start.epoch;
    this.#begin = this.#told = start.position;
    this.#sequencer = new Sequencer(start.position, start.atEnd);
    this.#keepsCursor = start.kept;
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** Whether hints are sent as they come. */
  get live(): boolean {
    return this.#sequencer.live;
  }

  /** Up to where everything had its turn. */
  get last(): Position {
    return this.#sequencer.last;
  }

  /** Up to where entries are known to be. */
  get newest(): Position {
    return this.#sequencer.want;
  }

  /** Where the device goes on when it comes back; undefined when it is not known again. */
  get cursor(): StreamCursor | undefined {
    if (!this.#keepsCursor) return undefined;
    const cursor = { stream: this.stream, epoch: this.#epoch, position: this.sink.cursor(this.last) };
    return this.sink.acknowledged
      ? { ...cursor, acknowledged: true, moved: cursor.position > this.#told }
      : cursor;
  }

  /** Logic has heard of this cursor. */
  told({ epoch, position }: StreamCursor): void {
    if (epoch === this.#epoch && position > this.#told) this.#told = position;
  }

  /** Up to where everything has left the node, at least. */
  get left(): Position {
    return this.sink.left(this.last);
  }

  /** Up to where the device has everything, as far as is known. */
  get had(): Position {
    return this.sink.cursor(this.last);
  }

  /** How far the connection is with an entry; whether it had expired when its turn came is not known here. */
  progressOf({ epoch, position, keys, operation }: AskedEntry): Progress {
    if (keys.length > 0 && !keys.includes(this.#key)) return 'other_devices';
    if (this.#accepted && !this.session.accepts.has(operation)) return 'not_accepted';
    if (epoch !== this.#epoch || position <= this.#begin) return 'earlier';
    if (position <= this.had) return 'acknowledged';
    if (position <= this.left) return 'sent';
    return position <= this.last ? 'sending' : 'waiting';
  }

  /** What its connection is, while that is online. */
  get about(): FollowedBy | undefined {
    const { state, variant, v2 } = this.session;
    if (state.name !== 'online') return undefined;
    const { mid, key, owner } = state.identity;
    return { mid, key, transport: variant, version: v2 ? 2 : 1, connectedAtMs: claimedAtMs(owner) };
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
    this.#held?.drain();
  }

  /** Takes an entry that job tells of, of which `push` is the content: at once, or behind the page that is being read. */
  hint(hint: Hint, push: SharedPush): HintOutcome {
    if (this.pull === 'reading' && push.hasBody) {
      this.#held ??= new HeldHints(this.session.deps.hintRoom);
      if (this.#held.add({ hint, push })) return 'hold';
    }
    return this.#decide(hint, push);
  }

  #decide(hint: Hint, push: SharedPush): HintDecision {
    // Positions of different epochs cannot be compared.
    if (hint.epoch !== this.#epoch) return this.suspect();
    const sequencer = this.#sequencer;
    const due = push.hasBody && sequencer.live && hint.position > sequencer.last;
    // Many are told one after the other: it may have expired meanwhile.
    const late = push.expired || isLate(push, this.session.deps.clock.now());
    const wanted = due && !late && this.#chosen(push.operation, hint.keys);
    const sendable = due && (!wanted || this.sink.admits(push));
    const decision = sequencer.hint(hint.position, hint.prev, sendable);
    if (decision === 'send' && wanted) this.sink.send(push, hint.position);
    else if (decision === 'send' && late && push.about && this.#chosen(push.operation, hint.keys))
      this.#tellExpired(push.about, hint.position);
    else if (decision === 'pull') this.session.deps.reader.want(this);
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

  /** The client has handled everything up to here, it says; of another epoch it means nothing. */
  acked(epoch: string, position: Position): void {
    if (epoch === this.#epoch && this.sink.acked(position)) this.session.deps.reader.drained(this);
  }

  /** A heartbeat came. */
  beat(): void {
    this.sink.beat(this.last);
  }

  ready(): boolean {
    return this.sink.ready(this.#needsEmpty);
  }

  read(): StreamRead {
    this.#suspect = false;
    const { entries, bytes } = this.sink.budget();
    return {
      stream: this.stream,
      epoch: this.#epoch,
      after: this.last,
      maxEntries: Math.max(1, Math.min(MAX_PAGE_ENTRIES, entries)),
      maxBytes: Math.max(1, Math.min(MAX_PAGE_BYTES, bytes)),
    };
  }

  take(page: StreamPage): PageNext {
    this.session.deps.metrics.streams.page(page.entries.length);
    if (page.epoch !== this.#epoch) this.#restart(page);
    const entries: StreamEntry[] = [];
    const before = this.last;
    const taken = this.#fill(page, entries);
    const { gap, next } = this.#sequencer.page(taken);
    for (const left of page.leftOut ?? [])
      if (left.position > before && left.position <= this.last) this.#tellLeftOut(left);
    if (gap) {
      this.#tellLost(gap);
      this.sink.lost(gap);
    }
    this.sink.page(entries, { through: this.last, more: next !== 'live' });
    this.#needsEmpty = taken !== page && entries.length === 0;
    const missed = !this.#takeHeld();
    if (next === 'live' && this.#suspect) this.#sequencer.suspect();
    return next === 'live' && (missed || this.#suspect) ? 'again' : next;
  }

  /** Takes what came while the page was read; answers whether nothing of it makes the stream be read again. */
  #takeHeld(): boolean {
    let level = true;
    for (const { hint, push } of this.#held?.drain() ?? []) {
      // Being sent one may have closed the connection.
      if (this.closed) break;
      const decision = this.#decide(hint, push);
      this.session.deps.metrics.streams.hint(decision);
      level &&= decision !== 'pull';
    }
    return level;
  }

  fail(error: unknown): void {
    this.session.fail(error);
  }

  onDeadline(): void {
    this.session.deps.reader.rested(this);
  }

  /** Collects what is to be sent of a page, as much as may be now, and answers the page up to there. */
  #fill(page: StreamPage, chosen: StreamEntry[]): StreamPage {
    const { last, sink } = this;
    const budget = sink.budget();
    let { entries, bytes } = budget;
    for (const [index, entry] of page.entries.entries()) {
      if (entry.position <= last || !this.#wants(entry)) continue;
      entries -= 1;
      bytes -= sink.bytesOf(entry);
      if ((entries < 0 || bytes < 0) && !(budget.one && chosen.length === 0)) {
        const through = page.entries[index - 1]?.position ?? page.gap?.through ?? last;
        return { ...page, entries: page.entries.slice(0, index), through, more: true };
      }
      chosen.push(entry);
    }
    return page;
  }

  #wants(entry: StreamEntry): boolean {
    const late = entry.expireAtMs > 0 && entry.expireAtMs <= this.session.deps.clock.now();
    if (late) this.session.deps.metrics.dropped('expired', 1);
    const chosen = this.#chosen(entry.operation, entry.keys);
    if (late && chosen) this.#tellExpired(entry, entry.position);
    return !late && chosen;
  }

  #tellLeftOut({ id, caller, position, reason, operation, keys }: LeftOutEntry): void {
    if (!this.#chosen(operation, keys)) return;
    const { stream } = this;
    const key = this.#key;
    const kind = reason === 'collapsed' ? 'dropped' : 'expired';
    this.session.deps.exceptions.tell({ id, caller, kind, reason, stream, position, key });
  }

  #tellExpired({ id, caller }: About, position: Position): void {
    const { stream } = this;
    const key = this.#key;
    this.session.deps.exceptions.tell({
      id,
      caller,
      kind: 'expired',
      reason: 'expired',
      stream,
      position,
      key,
    });
  }

  #chosen(operation: number, keys: readonly string[]): boolean {
    if (this.#accepted && !this.session.accepts.has(operation)) return false;
    return keys.length === 0 || keys.includes(this.#key);
  }

  /** The bus began anew: nothing is known of what the positions until now meant. */
  #restart(page: StreamPage): void {
    const floor = page.gap?.through ?? BEFORE_ALL;
    this.#tellLost({ after: this.last, through: floor });
    this.#epoch = page.epoch;
    this.#begin = this.#told = floor;
    this.#sequencer.restart(floor);
    this.sink.restart(page.epoch, floor);
  }

  #tellLost({ after, through }: Gap): void {
    const { metrics, log } = this.session.deps;
    metrics.streams.gap();
    log.warn({ stream: this.stream, epoch: this.#epoch, after, through }, 'entries cannot be read any more');
  }
}

/** When a route was claimed: its owner sequence begins with the store's time in microseconds. */
function claimedAtMs(owner: string): number {
  return /^\d{16}-/.test(owner) ? Math.floor(Number(owner.slice(0, 16)) / 1_000) : 0;
}
