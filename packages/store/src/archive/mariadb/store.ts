import { sql, type Transaction } from 'kysely';

import { collapseIdOf } from '../../streams/collapse.js';
import type { Position } from '../../streams/streams.js';
import { BEFORE_ALL } from '../../streams/streams.js';
import type { StoreBatch } from '../archive.js';
import { NO_ENTRIES, withAppended, type StreamState } from '../retention.js';
import { sharedPositions } from '../shared-bodies.js';
import { archivedName } from '../stream-name.js';
import { senderText } from './sender.js';
import { bytesOf, type ArchiveTables, type EntryRow } from './tables.js';

type Writing = Transaction<ArchiveTables>;

const ROWS_A_STATEMENT = 500;
/** Of bodies, which take twice as much in a statement: together below a max_allowed_packet of 16 MiB. */
const BYTES_A_STATEMENT = 2 * 1_048_576;
const DUPLICATE = 1062;

/** Writes a batch in a transaction: the watermark, the rows that are not there yet, and what streams and bodies count. */
export async function storeBatch(db: Writing, batch: StoreBatch): Promise<boolean> {
  if (!(await moveWatermark(db, batch))) return false;
  const epoch = bytesOf(batch.epoch);
  const { rows, bodies } = rowsOf(batch, epoch);
  const inserted: EntryRow[] = [];
  for (const chunk of chunks(rows, (row) => row.body?.byteLength ?? 0)) {
    inserted.push(...(await insertEntries(db, chunk)));
  }
  await insertBodies(db, batch.shard, epoch, inserted, bodies);
  await insertCollapses(db, inserted);
  await insertEndings(db, inserted);
  await countEntries(db, epoch, inserted);
  return true;
}

/** The compare-and-set; from then on until its end no other transaction moves the watermark. */
async function moveWatermark(db: Writing, { epoch, shard, from, through }: StoreBatch): Promise<boolean> {
  const name = bytesOf(epoch);
  // The driver counts the rows that were found, also where their value stays.
  const moved = await db
    .updateTable('archive_watermarks')
    .set({ position: through })
    .where('epoch', '=', name)
    .where('shard', '=', shard)
    .where('position', '=', from)
    .executeTakeFirst();
  if (moved.numUpdatedRows > 0n) return true;
  if (from !== BEFORE_ALL) return false;
  const made = await db
    .insertInto('archive_watermarks')
    .ignore()
    .values({ epoch: name, shard, position: through })
    .executeTakeFirst();
  return made.numInsertedOrUpdatedRows === 1n;
}

function rowsOf({ shard, entries }: StoreBatch, epoch: Buffer) {
  const shared = sharedPositions(entries);
  const bodies = new Map<Position, Uint8Array>();
  const rows = entries.map(({ stream, entry }): EntryRow => {
    const isShared = shared.has(entry.position);
    const collapseId = collapseIdOf(entry);
    if (isShared) bodies.set(entry.position, entry.body);
    return {
      epoch,
      stream: bytesOf(archivedName(stream)),
      position: entry.position,
      accepted_at_ms: entry.acceptedAtMs,
      expire_at_ms: entry.expireAtMs,
      operation: entry.operation,
      id: entry.id,
      caller: entry.caller,
      traceparent: entry.traceparent,
      only_keys: entry.keys.length > 0 ? JSON.stringify(entry.keys) : null,
      body_bytes: entry.body.byteLength,
      body_shard: isShared ? shard : null,
      body: isShared ? null : buffer(entry.body),
      sender_mid: entry.sender?.mid ?? null,
      sender: entry.sender ? senderText(entry.sender) : null,
      collapse_key: entry.collapseKey ?? null,
      collapse_id: collapseId === undefined ? null : bytesOf(collapseId),
      retention_ms: entry.retentionMs ?? null,
    };
  });
  return { rows, bodies };
}

/** Inserts what is not there; answers what was inserted. It hardly ever is there: that is found out by failing. */
async function insertEntries(db: Writing, rows: readonly EntryRow[]): Promise<readonly EntryRow[]> {
  try {
    await db.insertInto('archive_entries').values(rows).execute();
    return rows;
  } catch (error) {
    if ((error as { readonly errno?: number }).errno !== DUPLICATE) throw error;
  }
  const there = new Set<string>();
  for (const row of rows) {
    const found = await db
      .selectFrom('archive_entries')
      .select('position')
      .where('epoch', '=', row.epoch)
      .where('stream', '=', row.stream)
      .where('position', '=', row.position)
      .executeTakeFirst();
    if (found) there.add(keyOf(row));
  }
  const missing = new Map<string, EntryRow>();
  for (const row of rows) {
    const key = keyOf(row);
    if (!there.has(key) && !missing.has(key)) missing.set(key, row);
  }
  const inserted = [...missing.values()];
  if (inserted.length > 0) await db.insertInto('archive_entries').values(inserted).execute();
  return inserted;
}

async function insertBodies(
  db: Writing,
  shard: number,
  epoch: Buffer,
  inserted: readonly EntryRow[],
  bodies: ReadonlyMap<Position, Uint8Array>,
): Promise<void> {
  const counts = new Map<Position, number>();
  for (const { position, body_shard } of inserted) {
    if (body_shard !== null) counts.set(position, (counts.get(position) ?? 0) + 1);
  }
  const rows = [...counts].map(([position, entries]) => ({
    epoch,
    shard,
    position,
    entries,
    body: buffer(bodies.get(position) ?? Buffer.alloc(0)),
  }));
  for (const chunk of chunks(rows, (row) => row.body.byteLength)) {
    await db
      .insertInto('archive_bodies')
      .values(chunk)
      .onDuplicateKeyUpdate({ entries: sql`entries + VALUES(entries)` })
      .execute();
  }
}

/** The newest of each stream and id. Rows are locked in the order of their keys, here and by retention. */
async function insertCollapses(db: Writing, inserted: readonly EntryRow[]): Promise<void> {
  const newest = new Map<string, ArchiveTables['archive_collapses']>();
  for (const { epoch, stream, collapse_id, position } of inserted) {
    if (collapse_id === null) continue;
    const name = `${collapse_id.toString('latin1')} ${stream.toString('latin1')}`;
    if ((newest.get(name)?.position ?? -Infinity) < position)
      newest.set(name, { epoch, stream, collapse_id, position });
  }
  const rows = [...newest.values()].sort(
    (one, other) =>
      Buffer.compare(one.stream, other.stream) || Buffer.compare(one.collapse_id, other.collapse_id),
  );
  for (const chunk of chunks(rows, () => 0)) {
    await db
      .insertInto('archive_collapses')
      .values(chunk)
      .onDuplicateKeyUpdate({ position: sql`GREATEST(position, VALUES(position))` })
      .execute();
  }
}

/** Of those that are kept for a time of their own. */
async function insertEndings(db: Writing, inserted: readonly EntryRow[]): Promise<void> {
  const rows = inserted.flatMap(({ epoch, stream, position, accepted_at_ms, retention_ms }) =>
    retention_ms === null ? [] : [{ epoch, stream, position, ends_at_ms: accepted_at_ms + retention_ms }],
  );
  for (const chunk of chunks(rows, () => 0)) {
    await db.insertInto('archive_endings').ignore().values(chunk).execute();
  }
}

/** Streams are locked in the order of their names, here and by retention. */
async function countEntries(db: Writing, epoch: Buffer, inserted: readonly EntryRow[]): Promise<void> {
  const states = new Map<string, { readonly stream: Buffer; readonly state: StreamState }>();
  for (const { stream, accepted_at_ms } of inserted) {
    const name = stream.toString('latin1');
    const state = states.get(name)?.state ?? NO_ENTRIES;
    states.set(name, { stream, state: withAppended(state, 1, accepted_at_ms) });
  }
  const rows = [...states.values()]
    .sort((one, other) => Buffer.compare(one.stream, other.stream))
    .map(({ stream, state }) => ({
      epoch,
      stream,
      floor: state.floor,
      resumable: state.resumable,
      resumable_from_ms: state.resumableFromMs,
      archived: state.archived,
      archived_from_ms: state.archivedFromMs,
    }));
  for (const chunk of chunks(rows, () => 0)) {
    // The assignments are done in this order, and each sees those before it.
    await db
      .insertInto('archive_streams')
      .values(chunk)
      .onDuplicateKeyUpdate({
        resumable_from_ms: sql`IF(resumable = 0, VALUES(resumable_from_ms), resumable_from_ms)`,
        archived_from_ms: sql`IF(archived = 0, VALUES(archived_from_ms), archived_from_ms)`,
        resumable: sql`resumable + VALUES(resumable)`,
        archived: sql`archived + VALUES(archived)`,
      })
      .execute();
  }
}

function* chunks<Row>(rows: readonly Row[], bytesIn: (row: Row) => number): Generator<readonly Row[]> {
  let chunk: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    const more = bytesIn(row);
    if (chunk.length >= ROWS_A_STATEMENT || (chunk.length > 0 && bytes + more > BYTES_A_STATEMENT)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(row);
    bytes += more;
  }
  if (chunk.length > 0) yield chunk;
}

function keyOf({ stream, position }: EntryRow): string {
  return `${position} ${stream.toString('latin1')}`;
}

function buffer(body: Uint8Array): Buffer {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}
