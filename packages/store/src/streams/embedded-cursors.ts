import { keyText, type StoredCursor, type StreamTables } from './embedded-tables.js';
import { MAX_CURSORS, type CursorWrite } from './streams.js';

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
