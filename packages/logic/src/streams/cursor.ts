import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { Archive } from '@halley/store/archive/archive';
import { shardOf, streamOf } from '@halley/store/shard';
import type { Cursor, CursorWrite, Position, Streams } from '@halley/store/streams/streams';

/** How long after its last renewal a device that does not acknowledge goes on where it was. */
export const CURSOR_TTL_MS = 10 * 60_000;

export interface CursorsDeps {
  readonly streams: Pick<Streams, 'cursors' | 'saveCursors' | 'state' | 'newest'>;
  readonly archive: Pick<Archive, 'watermark'>;
  /** The bus's partition count. */
  readonly shards: number;
  /** The bus's epoch now. */
  readonly epoch: () => string;
}

/** A device whose route is written. */
export interface Device {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  readonly owner: string;
  /** Whether the client chose the key: only then is it known again. */
  readonly keyGiven: boolean;
}

/** Where a device goes on in its user's stream. */
export interface StreamStart extends Cursor {
  readonly stream: string;
  /** Whether its cursor is to be renewed. */
  readonly kept: boolean;
  /** Whether the position is the stream's end: nothing is there to be read yet. */
  readonly atEnd: boolean;
}

/** Where devices that do not acknowledge (ver 1) are in the stream of their user. */
export class Cursors {
  constructor(private readonly deps: CursorsDeps) {}

  /**
   * Where a device begins, its route written: behind its cursor when its key was here within the last ten minutes, else at
   * the end. Whatever is appended from now on finds the route. Throws `store_unavailable`.
   */
  async open({ mid, key, owner, keyGiven }: Device): Promise<StreamStart> {
    const stream = streamOf.user(mid);
    const known = keyGiven ? (await this.deps.streams.cursors(stream)).get(key) : undefined;
    const cursor = known ?? (await this.end(stream));
    // From here on the cursor is this owner's: what the connection before still saves changes nothing.
    if (keyGiven) await this.save([{ ...cursor, stream, key, owner }]);
    return { ...cursor, stream, kept: keyGiven, atEnd: known === undefined };
  }

  /** Saves cursors for ten more minutes. Throws `store_unavailable`. */
  async save(cursors: readonly Omit<CursorWrite, 'ttlMs'>[]): Promise<void> {
    if (cursors.length === 0) return;
    await this.deps.streams.saveCursors(cursors.map((cursor) => ({ ...cursor, ttlMs: CURSOR_TTL_MS })));
  }

  /** Newest positions, as {@link Streams.newest} has them. Throws `store_unavailable`. */
  newest(streams: readonly string[]): Promise<ReadonlyMap<string, Position>> {
    return this.deps.streams.newest(streams);
  }

  /**
   * The end of a stream: everything up to here was appended before; in a shard that was lost, what is above the watermark
   * comes again. Throws `store_unavailable`.
   */
  async end(stream: string): Promise<Cursor> {
    const epoch = this.deps.epoch();
    const shard = shardOf(stream, this.deps.shards);
    const state = await this.deps.streams.state(shard, epoch);
    return { epoch, position: state?.applied ?? (await this.deps.archive.watermark(shard, epoch)) };
  }
}
