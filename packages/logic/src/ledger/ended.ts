import type { Archive } from '@halley/store/archive/archive';
import { collapsedByOf, isCollapsed } from '@halley/store/streams/collapse';
import { endingOf } from '@halley/store/streams/lifetime';
import type { Streams } from '@halley/store/streams/streams';

import type { TracedEntry } from './trace.js';

export interface EndedDeps {
  readonly streams: Pick<Streams, 'collapsed'>;
  readonly archive: Pick<Archive, 'collapsed'>;
}

/** Why nobody who catches up is shown an entry any more. */
export type Ended = 'expired' | 'retention' | 'collapsed';

/**
 * Which entries nobody who catches up is shown any more: their time is over, or a newer one of their stream took their
 * place. Where a store is away the latter is not known.
 */
export async function endedOf(
  entries: readonly TracedEntry[],
  { streams, archive }: EndedDeps,
  nowMs: number,
): Promise<ReadonlyMap<TracedEntry, Ended>> {
  const ended = new Map<TracedEntry, Ended>();
  for (const entry of entries) {
    const { acceptedAtMs, expireAtMs, retentionMs = 0 } = entry;
    const why = endingOf({ acceptedAtMs, expireAtMs, retentionMs }, nowMs);
    if (why) ended.set(entry, why);
  }
  const open = entries.filter((entry) => entry.collapseKey && !ended.has(entry));
  await Promise.all(
    open.map(async (entry) => {
      const { stream, epoch, collapseKey = '' } = entry;
      const collapsing = { ...entry, collapseKey };
      const ids = [...collapsedByOf(collapsing)];
      const [held, archived] = await Promise.all([
        streams.collapsed(epoch, [{ stream, ids }]).catch(() => []),
        archive.collapsed(epoch, stream, ids).catch(() => new Map<string, number>()),
      ]);
      if (isCollapsed(collapsing, held[0]?.newest ?? new Map()) || isCollapsed(collapsing, archived))
        ended.set(entry, 'collapsed');
    }),
  );
  return ended;
}
