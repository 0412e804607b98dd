import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, UserId } from '@halley/protocol/ids';
import type { Archive } from '@halley/store/archive/archive';
import type { Clock } from '@halley/service/clock';
import { shardOf, streamOf } from '@halley/store/shard';
import {
  BEFORE_ALL,
  type Cursor,
  type CursorWrite,
  type Position,
  type Streams,
} from '@halley/store/streams/streams';

/** How long after its last renewal a device that does not acknowledge goes on where it was. */
export const CURSOR_TTL_MS = 10 * 60_000;

export interface CursorsDeps {
  readonly streams: Pick<Streams, 'cursors' | 'saveCursors' | 'resume' | 'state' | 'newest' | 'restoredAtMs'>;
  readonly archive: Pick<Archive, 'watermark' | 'read' | 'history'>;
  /** The bus's partition count. */
  readonly shards: number;
  /** The bus's epoch now. */
  readonly epoch: () => string;
  /** How long messages can be resumed from: so long what a device acknowledged is kept. */
  readonly acknowledgedTtlMs: number;
  readonly clock: Clock;
}

/** Where a device with version 2 wants to go on. */
export interface StartWish {
  /** Where it was; else where `start` says, by default where it or another device of its user was. */
  readonly cursor?: Cursor | undefined;
  readonly start?: 'oldest' | 'newest' | undefined;
}

/** How far a device has seen a stream, to be kept. */
export interface SavedCursor extends Omit<CursorWrite, 'ttlMs'> {
  /** With version 2, which says itself what it has. */
  readonly acknowledged?: boolean;
}

/** A device whose route is written. */
export interface Device {
  readonly mid: UserId;
  readonly key: ConnectionKey;
  readonly owner: string;
  /** Whether the client chose the key: only then is it known again. */
  readonly keyGiven: boolean;
  /** Set for devices with version 2, which are told their key: each is known again. */
  readonly version2?: StartWish | undefined;
}

/** Where a device goes on in its user's stream. */
export interface StreamStart extends Cursor {
  readonly stream: string;
  /** Whether its cursor is to be renewed. */
  readonly kept: boolean;
  /** Whether the position is the stream's end: nothing is there to be read yet. */
  readonly atEnd: boolean;
}

/** Where devices are in the stream of their user. */
export class Cursors {
  constructor(private readonly deps: CursorsDeps) {}

  /**
   * Where a device begins, its route written. One with version 2 begins where it wishes. Any other begins behind its cursor
   * when its key was here within the last ten minutes, else at the end; while nobody knows whether it was here, because the
   * cursors were lost, it begins with the messages of these ten minutes. Whatever is appended from now on finds the route.
   * Throws `store_unavailable`.
   */
  async open(device: Device): Promise<StreamStart> {
    const { mid, key, owner, keyGiven, version2 } = device;
    const stream = streamOf.user(mid);
    const { atEnd, ...cursor } = version2
      ? await this.#wished(stream, key, version2)
      : await this.#resumed(stream, device);
    const kept = keyGiven || version2 !== undefined;
    // From here on the cursor is this owner's: what the connection before still saves changes nothing.
    const begins = version2?.start === 'newest' && !version2.cursor;
    if (kept)
      await this.save([{ ...cursor, stream, key, owner, begins, acknowledged: version2 !== undefined }]);
    return { ...cursor, stream, kept, atEnd };
  }

  /**
   * The same of many devices in as few round trips as it can, each for itself and in their order: an error is what {@link open}
   * throws.
   */
  async openMany(devices: readonly Device[]): Promise<readonly (StreamStart | HalleyError)[]> {
    const { streams, epoch } = this.deps;
    const starts: (StreamStart | HalleyError | undefined)[] = devices.map(() => undefined);
    const alone = (index: number): Promise<void> =>
      this.open(devices[index]!).then(
        (start) => void (starts[index] = start),
        (error: unknown) => void (starts[index] = HalleyError.from(error)),
      );
    const coming: number[] = [];
    const slow: Promise<void>[] = [];
    for (const [index, { version2 }] of devices.entries()) {
      if (version2) slow.push(alone(index));
      else coming.push(index);
    }
    const resumed = await streams.resume(
      epoch(),
      CURSOR_TTL_MS,
      coming.map((index) => {
        const { mid, key, owner, keyGiven } = devices[index]!;
        return { stream: streamOf.user(mid), key: keyGiven ? key : undefined, owner };
      }),
    );
    for (const [i, index] of coming.entries()) {
      const outcome = resumed[i];
      // What the store alone does not know.
      if (!outcome) slow.push(alone(index));
      else if (outcome instanceof HalleyError) starts[index] = outcome;
      else {
        const { mid, keyGiven } = devices[index]!;
        const { known, ...cursor } = outcome;
        starts[index] = { ...cursor, stream: streamOf.user(mid), kept: keyGiven, atEnd: !known };
      }
    }
    if (slow.length > 0) await Promise.all(slow);
    return starts.map((start) => start ?? new HalleyError('internal'));
  }

  /** Saves cursors, for ten more minutes or for as long as messages can be resumed from. Throws `store_unavailable`. */
  async save(cursors: readonly SavedCursor[]): Promise<void> {
    if (cursors.length === 0) return;
    await this.deps.streams.saveCursors(
      cursors.map(({ acknowledged = false, ...cursor }) => ({
        ...cursor,
        ttlMs: acknowledged ? this.deps.acknowledgedTtlMs : CURSOR_TTL_MS,
      })),
    );
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

  /** In front of the oldest entry that a stream can be resumed from. Throws `store_unavailable`. */
  async oldest(stream: string): Promise<Cursor> {
    const epoch = this.deps.epoch();
    const nothing = { stream, after: BEFORE_ALL, through: BEFORE_ALL, maxEntries: 1, maxBytes: 1 };
    const { floor } = await this.deps.archive.read(epoch, nothing);
    return { epoch, position: floor };
  }

  async #resumed(stream: string, { key, keyGiven }: Device): Promise<Begin> {
    const known = keyGiven ? (await this.deps.streams.cursors(stream)).get(key) : undefined;
    if (known) return { ...known, atEnd: false };
    const end = await this.end(stream);
    const lost = keyGiven && end.position !== BEFORE_ALL && (await this.#cursorsLost(stream, end.epoch));
    return lost ? this.#recent(stream, end) : { ...end, atEnd: true };
  }

  /** Whether a cursor that still counts may be lost: the shard was emptied within their lifetime. */
  async #cursorsLost(stream: string, epoch: string): Promise<boolean> {
    const { streams, shards, clock } = this.deps;
    const restoredAtMs = await streams.restoredAtMs(shardOf(stream, shards), epoch);
    return restoredAtMs === undefined || restoredAtMs > clock.now() - CURSOR_TTL_MS;
  }

  /** In front of what was accepted within the lifetime of a cursor. */
  async #recent(stream: string, { epoch, position }: Cursor): Promise<Begin> {
    const { streams, archive, shards, clock } = this.deps;
    // Read ahead of the archive: what is archived meanwhile is found there.
    const held = await streams.state(shardOf(stream, shards), epoch);
    const fromMs = clock.now() - CURSOR_TTL_MS;
    const query = { stream, direction: 'forward', fromMs, maxEntries: 1, maxBytes: 1 } as const;
    const [oldest] = (await archive.history(epoch, query)).entries;
    return { epoch, position: oldest ? oldest.position - 1 : (held?.trimmed ?? position), atEnd: false };
  }

  /** One of another epoch, given or saved, is answered as it is: the first read declares what that means. */
  async #wished(stream: string, key: ConnectionKey, { cursor, start }: StartWish): Promise<Begin> {
    if (cursor) return this.#at(stream, cursor);
    if (start === 'newest') return { ...(await this.end(stream)), atEnd: true };
    if (start === undefined) {
      const saved = await this.deps.streams.cursors(stream);
      const known = saved.get(key) ?? furthest(saved.values(), this.deps.epoch());
      if (known) return this.#at(stream, known);
    }
    return { ...(await this.#oldestKnown(stream)), atEnd: false };
  }

  /** Whether everything up to the end was seen. The stream's own newest position is forgotten after a day: the shard's is not. */
  async #at(stream: string, { epoch, position }: Cursor): Promise<Begin> {
    const end = await this.end(stream);
    return { epoch, position, atEnd: epoch === end.epoch && position >= end.position };
  }

  /** While the archive is away it is not known what it has let go: the first read declares that, when it is back. */
  async #oldestKnown(stream: string): Promise<Cursor> {
    try {
      return await this.oldest(stream);
    } catch (error) {
      if (HalleyError.from(error).code !== 'store_unavailable') throw error;
      return { epoch: this.deps.epoch(), position: BEFORE_ALL };
    }
  }
}

type Begin = Cursor & { readonly atEnd: boolean };

/** The largest position in this epoch. */
function furthest(cursors: Iterable<Cursor>, epoch: string): Cursor | undefined {
  let largest: Cursor | undefined;
  for (const cursor of cursors)
    if (cursor.epoch === epoch && cursor.position > (largest?.position ?? -Infinity)) largest = cursor;
  return largest;
}
