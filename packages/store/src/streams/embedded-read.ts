import { decodeContent, decodeEntry, isShared, type Content } from './entry-codec.js';
import { keyText, type StreamTables } from './embedded-tables.js';
import type {
  Collapsed,
  CollapseQuery,
  HeldPage,
  Position,
  ReadQuery,
  ShardEntry,
  StreamEntry,
} from './streams.js';

/** A scan answers about as much at most. */
const ENTRIES_A_SCAN = 5_000;
const BYTES_A_SCAN = 8 * 1_048_576;

/** One page of a stream; undefined where the shard is empty or of another epoch. */
export function pageOf(
  tables: StreamTables,
  epoch: string,
  shard: number,
  { stream, after, maxEntries, maxBytes }: ReadQuery,
): HeldPage | undefined {
  const state = tables.shards.get([shard]);
  if (state?.epoch !== epoch) return undefined;
  const { applied, trimmed } = state;
  const reader = new ShardReader(tables, shard);
  const name = keyText(stream);
  const entries: StreamEntry[] = [];
  let bytes = 0;
  const range = { start: [name, Math.max(after, trimmed) + 1], end: [name, applied + 1] };
  for (const { key, value } of tables.entries.getRange(range)) {
    const position = Number(key[1]);
    bytes += value.byteLength + reader.sharedBytes(position, value);
    if (entries.length > 0 && (entries.length >= maxEntries || bytes > maxBytes))
      return { applied, trimmed, entries, more: true };
    entries.push(reader.entry(position, value));
  }
  return { applied, trimmed, entries, more: false };
}

/** The newest entries of collapse ids; undefined where the shard is empty or of another epoch. */
export function collapsedIn(
  tables: StreamTables,
  epoch: string,
  shard: number,
  { stream, ids }: CollapseQuery,
): Collapsed | undefined {
  const state = tables.shards.get([shard]);
  if (state?.epoch !== epoch) return undefined;
  const newest = new Map<string, Position>();
  for (const id of ids) {
    const position = tables.collapses.get([shard, id, keyText(stream)]);
    if (position !== undefined && position > state.trimmed) newest.set(id, position);
  }
  return { trimmed: state.trimmed, newest };
}

/** Entries of a shard by position, all of each position. */
export function scanShard(
  tables: StreamTables,
  epoch: string,
  shard: number,
  after: Position,
  maxPositions: number,
): { readonly through: Position; readonly entries: readonly ShardEntry[] } | undefined {
  const state = tables.shards.get([shard]);
  if (state?.epoch !== epoch) return undefined;
  const reader = new ShardReader(tables, shard);
  const entries: ShardEntry[] = [];
  let [through, positions, bytes] = [Math.max(after, state.trimmed), 0, 0];
  const range = { start: [shard, through + 1], end: [shard, state.applied + 1] };
  for (const { key, value: streams } of tables.index.getRange(range)) {
    if (
      positions > 0 &&
      (positions >= maxPositions || entries.length >= ENTRIES_A_SCAN || bytes >= BYTES_A_SCAN)
    )
      return { through, entries };
    through = Number(key[1]);
    positions += 1;
    for (const stream of streams) {
      const value = tables.entries.get([keyText(stream), through]);
      if (!value) continue;
      bytes += value.byteLength;
      entries.push({ stream, entry: reader.entry(through, value) });
    }
    bytes += tables.contents.get([shard, through])?.byteLength ?? 0;
  }
  return { through: state.applied, entries };
}

/** Puts entries of a shard together; a content that several share is decoded once. */
class ShardReader {
  readonly #contents = new Map<Position, { readonly content: Content; readonly bytes: number } | undefined>();

  constructor(
    private readonly tables: StreamTables,
    private readonly shard: number,
  ) {}

  entry(position: Position, value: Buffer): StreamEntry {
    const prev = value.readDoubleBE(0);
    return decodeEntry(position, prev, value.subarray(8), (at) => this.#shared(at)?.content);
  }

  /** What an entry takes beside its own part. */
  sharedBytes(position: Position, value: Buffer): number {
    return isShared(value.subarray(8)) ? (this.#shared(position)?.bytes ?? 0) : 0;
  }

  #shared(position: Position): { readonly content: Content; readonly bytes: number } | undefined {
    if (!this.#contents.has(position)) {
      const stored = this.tables.contents.get([this.shard, position]);
      this.#contents.set(position, stored && { content: decodeContent(stored), bytes: stored.byteLength });
    }
    return this.#contents.get(position);
  }
}
