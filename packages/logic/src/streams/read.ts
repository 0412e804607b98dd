import type { Archive } from '@halley/store/archive/archive';
import { shardOf } from '@halley/store/shard';
import {
  BEFORE_ALL,
  type HeldPage,
  type Position,
  type ReadQuery,
  type StreamEntry,
  type Streams,
} from '@halley/store/streams/streams';

export interface StreamReaderDeps {
  readonly streams: Pick<Streams, 'read'>;
  readonly archive: Pick<Archive, 'read' | 'watermark'>;
  /** The bus's partition count. */
  readonly shards: number;
  /** The bus's epoch now. */
  readonly epoch: () => string;
}

/** A read of one stream above a position. */
export interface StreamRead extends ReadQuery {
  /** The epoch that `after` belongs to. */
  readonly epoch: string;
}

/** What a stream holds, archive and hot part together. */
export interface StreamPage {
  /** Another than was asked for: `after` meant nothing, the page begins at the floor. */
  readonly epoch: string;
  readonly entries: readonly Omit<StreamEntry, 'prev'>[];
  /** Nothing between the position read from, or the gap, and here is missing from the page. */
  readonly through: Position;
  /** Whether entries above `through` are known to be there. */
  readonly more: boolean;
  /** Positions in (after, through] cannot be read any more. */
  readonly gap?: { readonly after: Position; readonly through: Position };
}

/** Limits of one read, which a caller's own are held to. */
export const MAX_READ_ENTRIES = 1_000;
export const MAX_READ_BYTES = 2 * 1_024 * 1_024;

/**
 * Reads streams as DELIVERY's `Read(stream, cursor)`: first the hot part with its bounds, in one step, then the archive up to
 * where the hot part begins. What is trimmed between the two is in the archive by then. A store that cannot be reached is
 * `store_unavailable`, never a gap.
 */
export class StreamReader {
  constructor(private readonly deps: StreamReaderDeps) {}

  /** Pages in the order of the reads. */
  async read(reads: readonly StreamRead[]): Promise<readonly StreamPage[]> {
    const epoch = this.deps.epoch();
    const queries = reads.map(({ stream, after, epoch: asked, maxEntries, maxBytes }): ReadQuery => ({
      stream,
      after: asked === epoch ? after : BEFORE_ALL,
      maxEntries: within(maxEntries, MAX_READ_ENTRIES),
      maxBytes: within(maxBytes, MAX_READ_BYTES),
    }));
    const held = await this.deps.streams.read(epoch, queries);
    return Promise.all(
      queries.map(async (query, index) => {
        const hot = held[index] ?? (await this.#ofLostShard(query.stream, epoch));
        const page = await this.#page(query, epoch, hot);
        // Positions of another epoch cannot be compared: all of it is lost, as far as anybody knows.
        if (reads[index]?.epoch === epoch || page.gap) return page;
        return { ...page, gap: { after: BEFORE_ALL, through: BEFORE_ALL } };
      }),
    );
  }

  /** A shard that was lost, or never written: everything that stood in it up to the watermark is archived. */
  async #ofLostShard(stream: string, epoch: string): Promise<HeldPage> {
    const watermark = await this.deps.archive.watermark(shardOf(stream, this.deps.shards), epoch);
    return { applied: watermark, trimmed: watermark, entries: [], more: false };
  }

  async #page(query: ReadQuery, epoch: string, hot: HeldPage): Promise<StreamPage> {
    const rest = {
      epoch,
      through: hot.more ? (hot.entries.at(-1)?.position ?? query.after) : hot.applied,
      more: hot.more,
    };
    if (query.after >= hot.trimmed) return { ...rest, entries: hot.entries };
    const { entries, floor, more } = await this.deps.archive.read(epoch, { ...query, through: hot.trimmed });
    const gap = query.after < floor ? { gap: { after: query.after, through: floor } } : {};
    const last = entries.at(-1);
    if (more && last) return { epoch, entries, through: last.position, more: true, ...gap };
    const above = hot.entries.filter(({ position }) => position > floor);
    return { ...rest, entries: [...entries, ...above], ...gap };
  }
}

/** 0 is as much as is allowed. */
function within(asked: number, most: number): number {
  return asked > 0 ? Math.min(asked, most) : most;
}
