import type { Position, ShardEntry } from '../streams/streams.js';

/** A smaller body costs less beside each entry than a second look-up. */
const INLINE_BYTES = 256;

/** Positions whose body is kept once for the shard: a larger one that goes to several streams. */
export function sharedPositions(entries: readonly ShardEntry[]): ReadonlySet<Position> {
  const seen = new Set<Position>();
  const shared = new Set<Position>();
  for (const { entry } of entries) {
    if (entry.body.byteLength <= INLINE_BYTES) continue;
    if (seen.has(entry.position)) shared.add(entry.position);
    seen.add(entry.position);
  }
  return shared;
}
