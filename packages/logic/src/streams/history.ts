import { systemClock, type Clock } from '@halley/service/clock';
import type { Archive, ArchivedEntry, HistoryQuery } from '@halley/store/archive/archive';
import { fitting } from '@halley/store/archive/page';
import { shardOf } from '@halley/store/shard';
import { endingOf } from '@halley/store/streams/lifetime';
import { BEFORE_ALL, type Position, type StreamEntry, type Streams } from '@halley/store/streams/streams';

export interface HistoryReaderDeps {
  readonly streams: Pick<Streams, 'read'>;
  readonly archive: Pick<Archive, 'history' | 'watermark'>;
  /** The bus's partition count. */
  readonly shards: number;
  /** The bus's epoch now. */
  readonly epoch: () => string;
  readonly clock?: Clock;
}

/** Bounds are as in {@link HistoryQuery}; `maxBytes` is held to {@link HISTORY_PAGE_BYTES}. */
export type HistoryAsk = HistoryQuery;

export interface HistoryPage {
  readonly epoch: string;
  /** In the order asked for. */
  readonly entries: readonly ArchivedEntry[];
  /** Whether entries remain behind the last one. */
  readonly more: boolean;
}

/** The bodies of a page together, but for one large entry. */
export const HISTORY_PAGE_BYTES = 2 * 1_048_576;

/** The hot part is read in steps of this: its entries go forwards only. */
const STEP_ENTRIES = 1_000;
const STEP_BYTES = 2 * 1_048_576;

/** What the hot part has of an ask, up to where the archive has everything. */
interface HotPart {
  readonly trimmed: Position;
  /** Within the bounds and above `trimmed`, in the order asked for; one more than asked for at most. */
  readonly entries: readonly StreamEntry[];
  /** Whether it was left before its end, as enough had been found. */
  readonly more: boolean;
}

/**
 * Reads the history of streams: the archive, and what is not archived yet. What has expired, or was kept as long as it was
 * to be, is left out; what a newer entry with the same collapse key took the place of is not: it did happen. As with resume the hot part comes first: what is
 * trimmed meanwhile is in the archive by then.
 */
export class HistoryReader {
  constructor(private readonly deps: HistoryReaderDeps) {}

  /** A page. Throws `store_unavailable`. */
  async read(asked: HistoryAsk): Promise<HistoryPage> {
    const ask = { nowMs: (this.deps.clock ?? systemClock).now(), ...asked };
    const epoch = this.deps.epoch();
    const maxBytes = Math.min(ask.maxBytes ?? HISTORY_PAGE_BYTES, HISTORY_PAGE_BYTES);
    const hot = await this.#hot(epoch, ask);
    // Newest first, the hot part comes first; it may be enough.
    const enough = ask.direction === 'backward' && hot.entries.length > ask.maxEntries;
    const archived = enough ? NOTHING : await this.#archived(epoch, { ...ask, maxBytes }, hot.trimmed);
    const [first, second] =
      ask.direction === 'backward' ? [hot.entries, archived.entries] : [archived.entries, hot.entries];
    // Behind what the archive cut off nothing may follow.
    const cut = ask.direction === 'forward' && archived.more;
    const page = fitting(cut ? first : [...first, ...second], bodyBytes, ask.maxEntries, maxBytes);
    return { epoch, entries: page.rows, more: page.more || archived.more || hot.more };
  }

  /** What the archive has up to `trimmed`. */
  async #archived(epoch: string, ask: HistoryAsk, trimmed: Position): Promise<Archived> {
    const { afterPosition = BEFORE_ALL, beforePosition = Infinity } = ask;
    const before = Math.min(beforePosition, trimmed + 1);
    if (before <= afterPosition + 1) return NOTHING;
    return this.deps.archive.history(epoch, { ...ask, beforePosition: before });
  }

  async #hot(epoch: string, ask: HistoryAsk): Promise<HotPart> {
    const { stream, maxEntries, direction, beforePosition = Infinity } = ask;
    let after = ask.afterPosition ?? BEFORE_ALL;
    let found: StreamEntry[] = [];
    for (;;) {
      const query = { stream, after, maxEntries: STEP_ENTRIES, maxBytes: STEP_BYTES };
      const [held] = await this.deps.streams.read(epoch, [query]);
      if (!held) return this.#lost(epoch, stream);
      found.push(...held.entries.filter((entry) => isWithin(entry, ask)));
      // The newest stay, or the oldest.
      if (direction === 'backward') found = found.slice(-(maxEntries + 1));
      const last = held.entries.at(-1)?.position ?? after;
      const full = direction === 'forward' && found.length > maxEntries;
      if (held.more && !full && last + 1 < beforePosition) {
        after = last;
        continue;
      }
      const { trimmed } = held;
      // What was trimmed between two steps is missing in the later one, and is archived with all that stood before it.
      const entries = found.filter(({ position }) => position > trimmed).slice(0, maxEntries + 1);
      if (direction === 'backward') entries.reverse();
      return { trimmed, entries, more: full && held.more };
    }
  }

  /** A shard that Redis has lost: everything up to the watermark is archived, and what is above comes again. */
  async #lost(epoch: string, stream: string): Promise<HotPart> {
    const trimmed = await this.deps.archive.watermark(shardOf(stream, this.deps.shards), epoch);
    return { trimmed, entries: [], more: false };
  }
}

type Archived = Awaited<ReturnType<Archive['history']>>;
const NOTHING: Archived = { entries: [], more: false };

function isWithin(entry: StreamEntry, ask: HistoryAsk): boolean {
  const { position, acceptedAtMs } = entry;
  const { beforePosition = Infinity, fromMs = 0, toMs = Infinity, nowMs = 0 } = ask;
  if (position >= beforePosition || acceptedAtMs < fromMs || acceptedAtMs >= toMs) return false;
  return endingOf(entry, nowMs) === undefined;
}

function bodyBytes({ body }: ArchivedEntry): number {
  return body.byteLength;
}
