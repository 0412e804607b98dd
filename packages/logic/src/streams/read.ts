import { systemClock, type Clock } from '@halley/service/clock';
import type { Archive } from '@halley/store/archive/archive';
import { fitting } from '@halley/store/archive/page';
import { shardOf } from '@halley/store/shard';
import { endingOf } from '@halley/store/streams/lifetime';
import {
  BEFORE_ALL,
  type HeldPage,
  type Position,
  type ReadQuery,
  type StreamEntry,
  type Streams,
} from '@halley/store/streams/streams';

import { type LeftOut, ShownEntries, type ShownEntriesDeps } from './shown.js';

export interface StreamReaderDeps {
  readonly streams: Pick<Streams, 'read' | 'collapsed'>;
  readonly archive: Pick<Archive, 'read' | 'watermark' | 'collapsed'>;
  /** The bus's partition count. */
  readonly shards: number;
  /** The bus's epoch now. */
  readonly epoch: () => string;
  readonly clock?: Clock;
  /** Told of each entry that is left out of a page. */
  readonly onLeftOut?: ShownEntriesDeps['onLeftOut'];
}

/** A read of one stream above a position. Limits of 0 are as much as is allowed. */
export interface StreamRead extends ReadQuery {
  /** The epoch that `after` belongs to. */
  readonly epoch: string;
}

/** What a stream holds, archive and hot part together. */
export interface StreamPage {
  /** Another than was asked for: `after` meant nothing, the page begins at the floor. */
  readonly epoch: string;
  /** What is shown: entries that are over, or whose place a newer one takes, are left out, and `through` goes on over them. */
  readonly entries: readonly Omit<StreamEntry, 'prev'>[];
  /** Nothing between the position read from, or the gap, and here is missing from the page. Never below either. */
  readonly through: Position;
  /** Whether entries above `through` are known to be there. */
  readonly more: boolean;
  /** Positions in (after, through] cannot be read any more. */
  readonly gap?: { readonly after: Position; readonly through: Position };
  /** What is left out; absent is nothing. */
  readonly leftOut?: readonly LeftOutEntry[];
}

/** An entry that nobody is shown any more. */
export interface LeftOutEntry extends Pick<StreamEntry, 'position' | 'id' | 'caller' | 'keys' | 'operation'> {
  readonly reason: LeftOut;
}

/** Limits of one page, which a caller's own are held to. */
export const MAX_PAGE_ENTRIES = 1_000;
export const MAX_PAGE_BYTES = 2 * 1_048_576;
/** The pages of one answer together, but for one large entry: below what a gRPC message may be. */
export const MAX_ANSWER_BYTES = 4 * 1_048_576;
/** However many streams are asked for, each may answer so much. */
const MIN_PAGE_BYTES = 64 * 1_024;
/** What an entry takes in an answer beside its body, roughly. */
const ENTRY_BYTES = 256;
/** Pages of which nothing is shown are read on from at once, so often. */
const MAX_ROUNDS = 8;

/**
 * Reads streams as DELIVERY's `Read(stream, cursor)`: first the hot part with its bounds, in one step, then the archive up to
 * where the hot part begins. What is trimmed between the two is in the archive by then. A store that cannot be reached is
 * `store_unavailable`, never a gap.
 */
export class StreamReader {
  readonly #shown: ShownEntries;

  constructor(private readonly deps: StreamReaderDeps) {
    const { streams, archive, clock = systemClock, onLeftOut = () => undefined } = deps;
    this.#shown = new ShownEntries({ streams, archive, clock, onLeftOut });
  }

  /** Pages in the order of the reads. The first holds something where there is something; later ones may be put off. */
  async read(reads: readonly StreamRead[]): Promise<readonly StreamPage[]> {
    const epoch = this.deps.epoch();
    const share = Math.max(MIN_PAGE_BYTES, Math.floor(MAX_ANSWER_BYTES / reads.length));
    const queries = reads.map(({ stream, after, epoch: asked, maxEntries, maxBytes }): ReadQuery => ({
      stream,
      // Positions of another epoch cannot be compared.
      after: asked === epoch ? after : BEFORE_ALL,
      maxEntries: within(maxEntries, MAX_PAGE_ENTRIES),
      maxBytes: within(maxBytes, Math.min(MAX_PAGE_BYTES, share)),
    }));
    const read = await this.#pages(epoch, queries);
    const pages = read.map(({ page }) => page);
    let silent = [...read.keys()].filter((index) => read[index]!.silent);
    for (let round = 1; round < MAX_ROUNDS && silent.length > 0; round += 1) {
      const rests = silent.map((index) => ({ ...queries[index]!, after: pages[index]!.through }));
      const rest = await this.#pages(epoch, rests);
      for (const [at, index] of silent.entries()) pages[index] = joined(pages[index]!, rest[at]!.page);
      silent = silent.filter((_, at) => rest[at]!.silent);
    }
    return fittingAnswer(
      queries,
      pages.map((page, index) => {
        // All that the caller had is lost, as far as anybody knows.
        if (reads[index]?.epoch === epoch || page.gap) return page;
        return { ...page, gap: { after: BEFORE_ALL, through: BEFORE_ALL } };
      }),
    );
  }

  /** A page of each with what of it is shown, and whether that is nothing although the stream goes on behind it. */
  async #pages(
    epoch: string,
    queries: readonly ReadQuery[],
  ): Promise<readonly { readonly page: StreamPage; readonly silent: boolean }[]> {
    const held = await this.deps.streams.read(epoch, queries);
    const pages = await Promise.all(
      queries.map(async (query, index) =>
        this.#page(query, epoch, held[index] ?? (await this.#ofLostShard(query, epoch))),
      ),
    );
    const shown = await this.#shown.of(
      epoch,
      pages.map(({ entries, through }, index) => ({ stream: queries[index]!.stream, entries, through })),
    );
    return pages.map((page, index) => {
      const entries = shown[index]!;
      const left = entries.length < page.entries.length ? this.#leftOf(page.entries, entries) : undefined;
      return {
        page: { ...page, entries, ...(left && { leftOut: left }) },
        silent: page.more && page.entries.length > 0 && entries.length === 0,
      };
    });
  }

  #leftOf(read: StreamPage['entries'], shown: StreamPage['entries']): LeftOutEntry[] {
    const kept = new Set(shown);
    const nowMs = (this.deps.clock ?? systemClock).now();
    return read
      .filter((entry) => !kept.has(entry))
      .map((entry) => {
        const { position, id, caller, keys, operation } = entry;
        return { position, id, caller, keys, operation, reason: endingOf(entry, nowMs) ?? 'collapsed' };
      });
  }

  /**
   * A shard that Redis has lost and that job has not restored yet: everything up to the watermark is archived, and
   * everything above is still in the bus.
   */
  async #ofLostShard({ stream }: ReadQuery, epoch: string): Promise<HeldPage> {
    const watermark = await this.deps.archive.watermark(shardOf(stream, this.deps.shards), epoch);
    return { applied: watermark, trimmed: watermark, entries: [], more: false };
  }

  async #page(query: ReadQuery, epoch: string, hot: HeldPage): Promise<StreamPage> {
    const { after, maxEntries, maxBytes } = query;
    if (after >= hot.trimmed) return { epoch, ...ending(hot, after), entries: hot.entries };
    const rows = await this.deps.archive.read(epoch, { ...query, through: hot.trimmed });
    const gap = after < rows.floor ? { gap: { after, through: rows.floor } } : {};
    const last = rows.entries.at(-1)?.position;
    if (rows.more && last !== undefined) {
      return { epoch, entries: rows.entries, through: last, more: true, ...gap };
    }
    // Retention may have gone on meanwhile, into what was hot a moment ago.
    const from = last ?? Math.max(after, rows.floor);
    const all = [...rows.entries, ...hot.entries.filter(({ position }) => position > from)];
    const page = fitting(all, entryBytes, maxEntries, maxBytes);
    const through = page.rows.at(-1)?.position;
    if (page.more && through !== undefined) return { epoch, entries: page.rows, through, more: true, ...gap };
    return { epoch, ...ending(hot, from), entries: page.rows, ...gap };
  }
}

/** A page of which nothing is shown, and the one behind it. */
function joined(first: StreamPage, next: StreamPage): StreamPage {
  const leftOut = [...(first.leftOut ?? []), ...(next.leftOut ?? [])];
  const second = leftOut.length > 0 ? { ...next, leftOut } : next;
  if (!first.gap) return second;
  // Retention may have gone on meanwhile.
  return { ...second, gap: { after: first.gap.after, through: second.gap?.through ?? first.gap.through } };
}

/** How far a page goes that holds all of what was read of the hot part above `from`. */
function ending({ applied, entries, more }: HeldPage, from: Position): Pick<StreamPage, 'through' | 'more'> {
  const through = more ? (entries.at(-1)?.position ?? from) : applied;
  // A reader may be ahead of a store that lost its last writes: they come again under the same positions.
  return { through: Math.max(from, through), more };
}

/** Pages that make the answer too large are put off: they are empty, end where they began, and there is more. */
function fittingAnswer(queries: readonly ReadQuery[], pages: readonly StreamPage[]): StreamPage[] {
  let bytes = 0;
  return pages.map((page, index) => {
    const size = page.entries.reduce((sum, entry) => sum + entryBytes(entry), 0);
    if (size === 0 || bytes === 0 || bytes + size <= MAX_ANSWER_BYTES) {
      bytes += size;
      return page;
    }
    const through = Math.max(queries[index]?.after ?? BEFORE_ALL, page.gap?.through ?? BEFORE_ALL);
    const { leftOut: _, ...rest } = page;
    return { ...rest, entries: [], through, more: true };
  });
}

function entryBytes({ body, keys }: Omit<StreamEntry, 'prev'>): number {
  return ENTRY_BYTES + body.byteLength + keys.reduce((sum, key) => sum + key.length, 0);
}

/** 0 is as much as is allowed. */
function within(asked: number, most: number): number {
  return asked > 0 ? Math.min(asked, most) : most;
}
