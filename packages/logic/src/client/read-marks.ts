import type { ReadPosition } from '@halley/protocol/client/bodies';
import type { UserId } from '@halley/protocol/ids';
import { atMost } from '@halley/service/at-most';
import type { Clock } from '@halley/service/clock';
import type { Archive } from '@halley/store/archive/archive';
import type { ReadMark, Reads } from '@halley/store/reads/reads';
import { shardOf } from '@halley/store/shard';
import { endingOf } from '@halley/store/streams/lifetime';
import { BEFORE_ALL, type Position, type Streams } from '@halley/store/streams/streams';

import { ANONYMOUS } from './asker.js';

export interface ReadMarksDeps {
  readonly reads: Reads;
  readonly streams: Pick<Streams, 'read' | 'state'>;
  readonly archive: Pick<Archive, 'count' | 'watermark' | 'healthy'>;
  /** The bus's partition count. */
  readonly shards: number;
  /** The bus's epoch now. */
  readonly epoch: () => string;
  readonly clock: Clock;
}

/** Up to where a client says that it has read a stream. */
export interface ReadUpTo {
  readonly stream: string;
  readonly epoch: string;
  readonly position: Position;
}

/** How a user's streams stand, and which of them that is news for. */
export interface Advanced {
  /** One for each stream asked about, in their order. */
  readonly now: readonly ReadPosition[];
  readonly moved: readonly ReadPosition[];
}

/** Unread messages are counted up to here. */
export const MAX_UNREAD = 1_000;
/** What is not archived yet is looked at up to here. */
const MAX_HELD_ENTRIES = 2 * MAX_UNREAD;
const MAX_HELD_BYTES = 1_048_576;
/** Streams of which unread messages are counted when many are asked about. */
const MAX_COUNTED = 32;
const SOON_MS = 1_000;
/** Many clients that connect at once leave the database to those that resume. */
const MAX_LOOKING = 32;

const NONE: ReadonlyMap<string, ReadPosition> = new Map();

/** How far users have read, and how much is unread above it. Methods throw `store_unavailable`. */
export class ReadMarks {
  #looking = 0;

  constructor(private readonly deps: ReadMarksDeps) {}

  /** Of these streams, those of which the user has told it in this epoch. Only of some of many it is said what is unread. */
  async of(mid: UserId, streams: readonly string[]): Promise<ReadonlyMap<string, ReadPosition>> {
    if (mid === ANONYMOUS || streams.length === 0) return NONE;
    const epoch = this.deps.epoch();
    const marks = [...(await this.deps.reads.get(mid, streams))].filter(([, mark]) => mark.epoch === epoch);
    const positions = await Promise.all(
      marks.map(async ([stream, mark], index) =>
        index < MAX_COUNTED ? this.#positionOf(mid, stream, mark) : positionAt(stream, epoch, mark),
      ),
    );
    return new Map(positions.map((position) => [position.stream, position]));
  }

  /** The same for who does not wait for it: nothing is told that is not known soon, or while very many ask. */
  async soon(mid: UserId, streams: readonly string[]): Promise<ReadonlyMap<string, ReadPosition>> {
    let found = NONE;
    if (this.#looking >= MAX_LOOKING || !this.deps.archive.healthy()) return found;
    this.#looking += 1;
    const known = this.of(mid, streams)
      .then((positions) => {
        found = positions;
      })
      .finally(() => {
        this.#looking -= 1;
      });
    await atMost(known, SOON_MS);
    return found;
  }

  /** Moves what is above where the user was; positions of another epoch, and −1, move nothing; none goes beyond the stream's end. */
  async advance(mid: UserId, asked: readonly ReadUpTo[]): Promise<Advanced> {
    const epoch = this.deps.epoch();
    const atMs = this.deps.clock.now();
    const marks = new Map<string, ReadMark>();
    for (const { stream, position, epoch: of } of asked) {
      if (of !== epoch) continue;
      const to = Math.min(position, await this.#end(epoch, stream));
      if (to > (marks.get(stream)?.position ?? BEFORE_ALL)) marks.set(stream, { epoch, position: to, atMs });
    }
    const streams = [...new Set(asked.map(({ stream }) => stream))];
    const held = await this.deps.reads.get(mid, streams);
    for (const [stream, mark] of marks) {
      const old = held.get(stream);
      if (old?.epoch === epoch && old.position >= mark.position) marks.delete(stream);
    }
    const after = marks.size > 0 ? await this.deps.reads.advance(mid, marks) : held;
    const now = await Promise.all(
      streams.map((stream) => this.#positionOf(mid, stream, after.get(stream) ?? held.get(stream))),
    );
    return { now, moved: now.filter(({ stream }) => marks.has(stream)) };
  }

  async #positionOf(mid: UserId, stream: string, mark: ReadMark | undefined): Promise<ReadPosition> {
    const epoch = this.deps.epoch();
    const at = positionAt(stream, epoch, mark);
    return { ...at, unread: await this.#unread(mid, stream, epoch, at.position) };
  }

  /** As with every read the hot part comes first: what is trimmed meanwhile is in the archive by then. */
  async #unread(mid: UserId, stream: string, epoch: string, after: Position): Promise<number> {
    const { streams, archive, shards, clock } = this.deps;
    const query = { stream, after, maxEntries: MAX_HELD_ENTRIES, maxBytes: MAX_HELD_BYTES };
    const [held] = await streams.read(epoch, [query]);
    const nowMs = clock.now();
    const hot = (held?.entries ?? []).filter(
      (entry) => entry.sender?.mid !== mid && endingOf(entry, nowMs) === undefined,
    ).length;
    const through = held?.trimmed ?? (await archive.watermark(shardOf(stream, shards), epoch));
    if (hot >= MAX_UNREAD || through <= after) return Math.min(hot, MAX_UNREAD);
    const asked = { stream, after, through, notFrom: mid, nowMs, max: MAX_UNREAD - hot };
    return hot + (await archive.count(epoch, asked));
  }

  /** Nothing above it was there to be read; unknown while the store has lost the shard. */
  async #end(epoch: string, stream: string): Promise<Position> {
    const state = await this.deps.streams.state(shardOf(stream, this.deps.shards), epoch);
    return state?.applied ?? Infinity;
  }
}

/** A mark as it is told; one of another epoch says nothing about this one. */
function positionAt(stream: string, epoch: string, mark: ReadMark | undefined): ReadPosition {
  const position = mark?.epoch === epoch ? mark.position : BEFORE_ALL;
  return { stream, epoch, position, unread: undefined, mid: ANONYMOUS, atMs: mark?.atMs ?? 0 };
}
