import { keyText, type StoredCursor, type StreamTables } from './embedded-tables.js';
import { BEFORE_ALL, MAX_CURSORS, type CursorWrite, type Resumed, type Resuming } from './streams.js';

/** The cursors of a stream, also those whose time is over. */
export function storedCursors({ cursors }: StreamTables, stream: string): StoredCursor[] {
  const name = keyText(stream);
  const stored: StoredCursor[] = [];
  for (const { key, value } of cursors.getRange({ start: [name, ''] })) {
    if (key[0] !== name) break;
    stored.push(value);
  }
  return stored;
}

/** Saves one cursor, within a transaction. */
export function saveCursor(tables: StreamTables, write: CursorWrite, nowMs: number): void {
  const name = keyText(write.stream);
  const stored = storedCursors(tables, write.stream);
  const sequence = 1 + stored.reduce((max, cursor) => Math.max(max, cursor.sequence), 0);
  const live = stored.filter(({ untilMs }) => untilMs > nowMs);
  for (const cursor of stored)
    if (cursor.untilMs <= nowMs) void tables.cursors.remove([name, keyText(cursor.key)]);

  const old = live.find(({ key }) => key === write.key);
  if (old && write.owner < old.owner) return;
  if (!old && live.length >= MAX_CURSORS) {
    const oldest = live.reduce((a, b) => (a.sequence < b.sequence ? a : b));
    void tables.cursors.remove([name, keyText(oldest.key)]);
  }
  const same = old?.epoch === write.epoch ? old : undefined;
  void tables.cursors.put([name, keyText(write.key)], {
    key: write.key,
    owner: write.owner,
    epoch: write.epoch,
    position: same ? Math.max(same.position, write.position) : write.position,
    begin: same && !write.begins ? (same.begin ?? same.position) : write.position,
    untilMs: nowMs + write.ttlMs,
    sequence,
  });
}

/** Where a device goes on, within a transaction; undefined where that is not known. */
export function resumeCursor(
  tables: StreamTables,
  { stream, key, owner }: Resuming,
  { shard, epoch, ttlMs, nowMs }: { shard: number; epoch: string; ttlMs: number; nowMs: number },
): Resumed | undefined {
  const stored = key === undefined ? [] : storedCursors(tables, stream);
  const known = stored.find((cursor) => cursor.key === key && cursor.untilMs > nowMs);
  const at = known ?? endOf(tables, shard, epoch);
  if (!at) return undefined;
  if (key !== undefined) {
    // A cursor that still counts went with what the shard lost.
    if ('restoredAtMs' in at && at.position !== BEFORE_ALL && at.restoredAtMs > nowMs - ttlMs)
      return undefined;
    saveCursor(tables, { stream, key, owner, epoch: at.epoch, position: at.position, ttlMs }, nowMs);
  }
  return { epoch: at.epoch, position: at.position, known: known !== undefined };
}

function endOf({ shards }: StreamTables, shard: number, epoch: string) {
  const state = shards.get([shard]);
  if (state?.epoch !== epoch) return undefined;
  return { epoch, position: state.applied, restoredAtMs: state.restoredAtMs ?? 0 };
}
