import type { Archive } from '@halley/store/archive/archive';
import { archivedName } from '@halley/store/archive/stream-name';
import type { Position, Streams } from '@halley/store/streams/streams';

import type { TracedEntry } from './trace.js';

export interface EntryFinderDeps {
  readonly streams: Pick<Streams, 'positions' | 'scan'>;
  readonly archive: Pick<Archive, 'find'>;
  /** The bus's epoch now. */
  readonly epoch: () => string;
}

/** What is found of a push in its streams. */
export interface FoundEntries {
  /** By stream. */
  readonly entries: readonly TracedEntry[];
  /** Whether its id is known to have been taken in within the last day. */
  readonly known: boolean;
  /** Whether there are more streams than are looked at. */
  readonly more: boolean;
  /** The archive could not be asked: what is only there is missing. */
  readonly archiveAway: boolean;
}

/** Streams of one push that are looked at. */
export const MAX_STREAMS = 10_000;

/** Finds where the entries of a push stand: in the hot part by the positions of its id, in the archive by the id itself. */
export class EntryFinder {
  constructor(private readonly deps: EntryFinderDeps) {}

  /** Throws `store_unavailable` when the hot part cannot be reached. */
  async find(caller: string, id: string): Promise<FoundEntries> {
    const inArchive = () => this.deps.archive.find(caller, id, MAX_STREAMS + 1).catch(() => undefined);
    const [{ positions, hot }, first] = await Promise.all([this.#hot(caller, id), inArchive()]);
    const seen = new Set([...hot, ...(first ?? [])].map(({ position }) => position));
    // What was trimmed meanwhile is in the archive by now, with all that stood at its position.
    const archived = positions.every((position) => seen.has(position)) ? first : await inArchive();
    const entries = new Map(hot.map((entry) => [placeOf(entry), entry]));
    for (const { epoch, stream, ...entry } of archived ?? []) {
      const place = placeOf({ epoch, stream, position: entry.position });
      // The hot part knows the whole name.
      entries.set(place, { ...entry, epoch, stream: entries.get(place)?.stream ?? stream, archived: true });
    }
    const all = [...entries.values()].sort((one, other) => compare(one.stream, other.stream));
    return {
      entries: all.slice(0, MAX_STREAMS),
      known: positions.length > 0,
      more: all.length > MAX_STREAMS,
      archiveAway: archived === undefined,
    };
  }

  /** Where the id was taken in, and what stands there. */
  async #hot(
    caller: string,
    id: string,
  ): Promise<{ readonly positions: readonly Position[]; readonly hot: TracedEntry[] }> {
    const { streams } = this.deps;
    const epoch = this.deps.epoch();
    const positions = await streams.positions(caller, id);
    const found = await Promise.all(
      [...positions].map(async ([shard, position]) => {
        // All entries of one position; when it was trimmed, those of another, which are not meant.
        const scanned = await streams.scan(shard, epoch, position - 1, 1);
        const meant = scanned?.entries.filter(
          ({ entry }) => entry.position === position && entry.id === id && entry.caller === caller,
        );
        return (meant ?? []).map(({ stream, entry }): TracedEntry => {
          const { body, keys, operation, acceptedAtMs, expireAtMs, retentionMs, collapseKey, sender } = entry;
          const ends = { acceptedAtMs, expireAtMs, retentionMs, collapseKey };
          const about = { ...ends, keys, operation, bodyBytes: body.byteLength, sender };
          return { ...about, epoch, stream, position, archived: false };
        });
      }),
    );
    return { positions: [...positions.values()], hot: found.flat() };
  }
}

function placeOf({ epoch, stream, position }: Pick<TracedEntry, 'epoch' | 'stream' | 'position'>): string {
  return `${position} ${epoch} ${archivedName(stream)}`;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
