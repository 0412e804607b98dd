import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { BEFORE_ALL } from '@halley/store/streams/streams';

import type { LogicLink, StreamPage, StreamRead } from '../logic-link.js';
import type { Deadlines, Expiring } from '../session/deadlines.js';
import { ReadLane } from './read-lane.js';
import type { PageNext } from './sequencer.js';
import type { StreamMetrics } from './stream-metrics.js';

/**
 * Where the pull of a stream stands: there is none; it waits for its outbox to drain, or for its turn; it is under way; it
 * rests a moment, because the store was behind or could not be reached.
 */
export type PullState = 'none' | 'draining' | 'queued' | 'reading' | 'resting';

/** A stream of one connection, as the reader sees it. */
export interface Pulled extends Expiring {
  /** The reader's. */
  pull: PullState;
  /** The reader's: rests in a row. */
  rests: number;
  /** The reader's: the last read failed. */
  failed: boolean;
  /** Its connection is gone: nothing is read any more. */
  readonly closed: boolean;
  /** Whether there is room for a page; otherwise the reader is told when there may be (`drained`). */
  ready(): boolean;
  /** The read that is due. */
  read(): StreamRead;
  /** Takes what was read. */
  take(page: StreamPage): PageNext;
  /** A page could not be taken because of a fault of ours. */
  fail(error: unknown): void;
}

export interface StreamReaderDeps {
  readonly logic: Pick<LogicLink, 'read'>;
  readonly deadlines: Deadlines;
  readonly metrics: StreamMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

const REST_MS = 100;
/** Longest rest where the store is behind what was hinted. */
const MAX_BEHIND_MS = 1_000;
/** Longest rest where it could not be read. */
const MAX_FAILED_MS = 5_000;

/**
 * Pulls the streams of all connections that are not live: those that come in one tick, or while the calls allowed at once
 * are under way, share calls. One read is under way for each stream, and none while its outbox is not drained. A read that
 * fails is repeated with backoff, beside the others, for as long as the connection lives.
 */
export class StreamReader {
  readonly #first = new ReadLane({ calls: 4, restMs: 25, minSize: 8 });
  readonly #repeated = new ReadLane({ calls: 4, restMs: 25, minSize: 1 });
  readonly #draining = new Set<Pulled>();
  #catchingUp = 0;
  #immediate: NodeJS.Immediate | undefined;
  #stopped = false;
  #failing = false;

  constructor(private readonly deps: StreamReaderDeps) {}

  /** Streams that are not live. */
  get catchingUp(): number {
    return this.#catchingUp;
  }

  /** The stream is to be pulled; nothing happens where that is under way already. */
  want(pulled: Pulled): void {
    if (pulled.pull !== 'none' || pulled.closed || this.#stopped) return;
    this.#catchingUp += 1;
    this.deps.metrics.pulls();
    this.#begin(pulled);
  }

  /** Its outbox has drained. */
  drained(pulled: Pulled): void {
    if (pulled.pull !== 'draining' || !pulled.ready()) return;
    this.#draining.delete(pulled);
    this.#enqueue(pulled);
  }

  /** It has rested. */
  rested(pulled: Pulled): void {
    if (pulled.pull === 'resting') this.#begin(pulled);
  }

  /** Looks at who waits for its outbox: a socket does not always tell. */
  sweep(): void {
    for (const pulled of this.#draining) this.drained(pulled);
  }

  /** Its connection is gone. */
  forget(pulled: Pulled): void {
    if (pulled.pull === 'none') return;
    pulled.pull = 'none';
    this.#catchingUp -= 1;
    this.#draining.delete(pulled);
    this.deps.deadlines.clear(pulled);
  }

  stop(): void {
    this.#stopped = true;
    clearImmediate(this.#immediate);
    this.#first.clear();
    this.#repeated.clear();
    this.#draining.clear();
  }

  #begin(pulled: Pulled): void {
    if (pulled.ready()) return this.#enqueue(pulled);
    pulled.pull = 'draining';
    this.#draining.add(pulled);
  }

  #enqueue(pulled: Pulled): void {
    pulled.pull = 'queued';
    (pulled.failed ? this.#repeated : this.#first).push(pulled);
    this.#soon();
  }

  #soon(): void {
    if (!this.#stopped) this.#immediate ??= setImmediate(this.#run);
  }

  readonly #run = (): void => {
    this.#immediate = undefined;
    for (const lane of [this.#first, this.#repeated]) {
      for (let batch = lane.begin(); batch; batch = lane.begin()) void this.#call(lane, batch);
    }
  };

  async #call(lane: ReadLane, batch: readonly Pulled[]): Promise<void> {
    const reads = batch.map((pulled) => {
      pulled.pull = 'reading';
      return pulled.read();
    });
    // Members of a room often stand at the same place.
    const { distinct, places } = distinctOf(reads);
    const pages = await this.#read(distinct);
    let putOff = 0;
    for (const [index, pulled] of batch.entries()) {
      const page = pages?.[places[index] as number];
      const off = page !== undefined && isPutOff(page, reads[index] as StreamRead);
      if (off) putOff += 1;
      // It may be gone; another pull of it cannot have begun.
      if (pulled.pull !== 'reading') continue;
      if (page) this.#taken(pulled, page, off && batch.length === 1);
      else this.#rest(pulled, true);
    }
    if (!pages) await sleep(lane.options.restMs);
    lane.end(!pages || putOff > batch.length / 2);
    this.#soon();
  }

  /** Pages in the order of the reads; undefined when it failed. */
  async #read(reads: readonly StreamRead[]): Promise<readonly StreamPage[] | undefined> {
    const { logic, metrics, log } = this.deps;
    try {
      const pages = await logic.read(reads);
      if (pages.length !== reads.length)
        throw new HalleyError('internal', `${pages.length} pages for ${reads.length} reads`);
      if (this.#failing) log.info('streams are read again');
      this.#failing = false;
      metrics.read('ok');
      return pages;
    } catch (error) {
      if (!this.#failing && !this.#stopped) log.warn({ err: error }, 'streams are not read');
      this.#failing = true;
      metrics.read('failed');
      return undefined;
    }
  }

  #taken(pulled: Pulled, page: StreamPage, offAlone: boolean): void {
    pulled.failed = false;
    let next: PageNext;
    try {
      next = pulled.take(page);
    } catch (error) {
      // It is closed: a page that was taken in part must not be followed by another.
      return pulled.fail(error);
    }
    // Taking a page may have closed its connection.
    if (pulled.pull !== 'reading') return;
    // One that is put off although nothing else was asked for must not be asked for at once for ever.
    if (next === 'later' || offAlone) return this.#rest(pulled, false);
    pulled.rests = 0;
    if (next === 'again') return this.#begin(pulled);
    pulled.pull = 'none';
    this.#catchingUp -= 1;
  }

  #rest(pulled: Pulled, failed: boolean): void {
    const ceilingMs = Math.min(
      failed ? MAX_FAILED_MS : MAX_BEHIND_MS,
      REST_MS * 2 ** Math.min(pulled.rests, 10),
    );
    pulled.rests += 1;
    pulled.failed = failed;
    pulled.pull = 'resting';
    this.deps.deadlines.set(pulled, this.deps.clock.monotonicMs() + (ceilingMs / 2) * (1 + Math.random()));
  }
}

/** Equal reads once, and which of those each is. */
function distinctOf(reads: readonly StreamRead[]): { distinct: StreamRead[]; places: number[] } {
  const distinct: StreamRead[] = [];
  const known = new Map<string, number>();
  const places = reads.map((read) => {
    const { stream, epoch, after, maxEntries, maxBytes } = read;
    const name = `${stream} ${epoch} ${after} ${maxEntries} ${maxBytes}`;
    const place = known.get(name) ?? distinct.push(read) - 1;
    known.set(name, place);
    return place;
  });
  return { distinct, places };
}

/** Logic answers so to what is too much for one answer: ask again. A page that goes on has only nothing to show. */
function isPutOff({ entries, more, through, epoch, gap }: StreamPage, read: StreamRead): boolean {
  const from = epoch === read.epoch ? read.after : BEFORE_ALL;
  return more && entries.length === 0 && through <= Math.max(from, gap?.through ?? BEFORE_ALL);
}
