import type { Clock } from '@halley/service/clock';
import type { Archive } from '@halley/store/archive/archive';
import { collapsedByOf, collapseIdOf, isCollapsed } from '@halley/store/streams/collapse';
import { endingOf, type Ending } from '@halley/store/streams/lifetime';
import type { Collapsed, Position, StreamEntry, Streams } from '@halley/store/streams/streams';

/** Why a reader is not shown an entry: it is over, or a newer one took its place. */
export type LeftOut = Ending | 'collapsed';

export interface ShownEntriesDeps {
  readonly streams: Pick<Streams, 'collapsed'>;
  readonly archive: Pick<Archive, 'collapsed'>;
  readonly clock: Clock;
  /** Told of each entry that is left out of a page. */
  readonly onLeftOut: (stream: string, entry: Entry, why: LeftOut) => void;
}

export type Entry = Omit<StreamEntry, 'prev'>;

/** What was read of a stream, in order. */
export interface ReadEntries {
  readonly stream: string;
  readonly entries: readonly Entry[];
  /** Up to where the page goes: the reader passes over whatever else is there. */
  readonly through: Position;
}

type Newest = ReadonlyMap<string, Position>;

/**
 * What of a stream whoever catches up is shown: nothing that has expired or was kept as long as it was to be, and of the entries
 * with the same collapse key the newest alone. That one is in the page or beyond it, so that whoever is not shown an older one
 * for its sake is shown it, now or later; what was not yet there when the page was read, and stands within it, is none: a shard
 * that was lost may be filled again otherwise.
 */
export class ShownEntries {
  constructor(private readonly deps: ShownEntriesDeps) {}

  /** The entries of each page that are shown. Throws `store_unavailable`. */
  async of(epoch: string, pages: readonly ReadEntries[]): Promise<readonly (readonly Entry[])[]> {
    const collapsed = await this.#collapsed(epoch, pages);
    const nowMs = this.deps.clock.now();
    return pages.map(({ stream, entries }, index) =>
      entries.filter((entry) => {
        const why = endingOf(entry, nowMs) ?? (collapsed[index]?.has(entry) ? 'collapsed' : undefined);
        if (why !== undefined) this.deps.onLeftOut(stream, entry, why);
        return why === undefined;
      }),
    );
  }

  /** Which entries a newer one takes the place of; undefined for pages without such. */
  async #collapsed(
    epoch: string,
    pages: readonly ReadEntries[],
  ): Promise<readonly (ReadonlySet<Entry> | undefined)[]> {
    const found: (Set<Entry> | undefined)[] = pages.map(({ entries }) => withinPage(entries));
    /** Whose place nothing of the page takes. */
    const open = pages.map(({ entries }, index) =>
      entries.filter((entry) => entry.collapseKey && !found[index]?.has(entry)),
    );
    const places = [...open.keys()].filter((index) => open[index]!.length > 0);
    if (places.length === 0) return found;
    // The hot part first: what is trimmed meanwhile is archived by then.
    const held = await this.deps.streams.collapsed(
      epoch,
      places.map((index) => ({ stream: pages[index]!.stream, ids: idsOf(open[index]!) })),
    );
    await Promise.all(
      places.map(async (index, at) => {
        const known = held[at];
        const { stream, through } = pages[index]!;
        const { collapsed, rest } = split(open[index]!, beyond(through, known?.newest));
        for (const entry of collapsed) found[index]?.add(entry);
        const archived = rest.filter((entry) => mayBeArchived(entry, known));
        if (archived.length === 0) return;
        const newest = await this.deps.archive.collapsed(epoch, stream, idsOf(archived));
        for (const entry of split(archived, beyond(through, newest)).collapsed) found[index]?.add(entry);
      }),
    );
    return found;
  }
}

/** Entries whose place a newer one of the same page takes; undefined where none has a collapse key. */
function withinPage(entries: readonly Entry[]): Set<Entry> | undefined {
  const newest = new Map<string, Position>();
  for (const entry of entries) {
    const id = collapseIdOf(entry);
    if (id !== undefined) newest.set(id, entry.position);
  }
  return newest.size === 0 ? undefined : new Set(split(entries, newest).collapsed);
}

function split(entries: readonly Entry[], newest: Newest) {
  const collapsed: Entry[] = [];
  const rest: Entry[] = [];
  for (const entry of entries) (isCollapsed(entry, newest) ? collapsed : rest).push(entry);
  return { collapsed, rest };
}

function beyond(through: Position, newest: Newest = new Map()): Newest {
  return new Map([...newest].filter(([, position]) => position > through));
}

/** What stands above the hot part's beginning has nothing newer in the archive alone. */
function mayBeArchived({ position }: Entry, held: Collapsed | undefined): boolean {
  return !held || position < held.trimmed;
}

function idsOf(entries: readonly Entry[]): string[] {
  return [...new Set(entries.flatMap(collapsedByOf))];
}
