import { sql, type Transaction } from 'kysely';

import { collapseIdOf } from '../../streams/collapse.js';
import type { Position } from '../../streams/streams.js';
import type { StoreBatch } from '../archive.js';
import { NO_ENTRIES, withAppended, type StreamState } from '../retention.js';
import { sharedPositions } from '../shared-bodies.js';
import { archivedName } from '../stream-name.js';
import { entryLiteral, ENTRY_COLUMNS, type NewEntry } from './entry-literal.js';
import { nameLiteral, numberLiteral } from './literals.js';
import { bytesOf, type ArchiveTables } from './tables.js';
import { moveWatermarks } from './watermarks.js';

type Writing = Transaction<ArchiveTables>;

const ROWS_A_STATEMENT = 500;
/** Of bodies, which take twice as much in a statement: together below a max_allowed_packet of 16 MiB. */
const BYTES_A_STATEMENT = 2 * 1_048_576;
const DUPLICATE = 1062;

/**
 * Writes batches in a transaction: the watermarks, the rows that are not there yet, and what streams and bodies count.
 * Answers which it wrote: those whose watermark was where they begin.
 */
export async function storeBatches(
  db: Writing,
  epoch: string,
  batches: readonly StoreBatch[],
): Promise<readonly boolean[]> {
  const name = bytesOf(epoch);
  const moved = await moveWatermarks(db, name, batches);
  const entries = batches.flatMap((batch, index) => (moved[index] ? newEntries(batch) : []));
  const inserted: NewEntry[] = [];
  for (const chunk of chunks(entries, ({ entry, isShared }) => (isShared ? 0 : entry.body.byteLength))) {
    inserted.push(...(await insertEntries(db, epoch, chunk)));
  }
  await insertBodies(db, name, inserted);
  await insertCollapses(db, name, inserted);
  await insertEndings(db, name, inserted);
  await countEntries(db, epoch, inserted);
  return moved;
}

function newEntries({ shard, entries }: StoreBatch): NewEntry[] {
  const shared = sharedPositions(entries);
  return entries.map(({ stream, entry }) => ({
    shard,
    stream: archivedName(stream),
    entry,
    isShared: shared.has(entry.position),
    collapseId: collapseIdOf(entry),
  }));
}

/** Inserts what is not there; answers what was inserted. It hardly ever is there: that is found out by failing. */
async function insertEntries(
  db: Writing,
  epoch: string,
  entries: readonly NewEntry[],
): Promise<readonly NewEntry[]> {
  try {
    await insertRows(db, epoch, entries);
    return entries;
  } catch (error) {
    if ((error as { readonly errno?: number }).errno !== DUPLICATE) throw error;
  }
  const there = new Set<string>();
  for (const each of entries) {
    const found = await db
      .selectFrom('archive_entries')
      .select('position')
      .where('epoch', '=', bytesOf(epoch))
      .where('stream', '=', bytesOf(each.stream))
      .where('position', '=', each.entry.position)
      .executeTakeFirst();
    if (found) there.add(keyOf(each));
  }
  const missing = new Map<string, NewEntry>();
  for (const each of entries) {
    const key = keyOf(each);
    if (!there.has(key) && !missing.has(key)) missing.set(key, each);
  }
  const inserted = [...missing.values()];
  if (inserted.length > 0) await insertRows(db, epoch, inserted);
  return inserted;
}

async function insertRows(db: Writing, epoch: string, entries: readonly NewEntry[]): Promise<void> {
  const of = nameLiteral(epoch);
  const rows = entries.map((each) => entryLiteral(of, each)).join(',');
  await sql.raw(`INSERT INTO archive_entries (${ENTRY_COLUMNS.join(',')}) VALUES ${rows}`).execute(db);
}

async function insertBodies(db: Writing, epoch: Buffer, inserted: readonly NewEntry[]): Promise<void> {
  const bodies = new Map<
    string,
    { readonly epoch: Buffer; shard: number; position: Position; entries: number; body: Buffer }
  >();
  for (const { shard, entry, isShared } of inserted) {
    if (!isShared) continue;
    const name = `${shard} ${entry.position}`;
    const known = bodies.get(name);
    if (known) known.entries += 1;
    else bodies.set(name, { epoch, shard, position: entry.position, entries: 1, body: bufferOf(entry.body) });
  }
  for (const chunk of chunks([...bodies.values()], (row) => row.body.byteLength)) {
    await db
      .insertInto('archive_bodies')
      .values(chunk)
      .onDuplicateKeyUpdate({ entries: sql`entries + VALUES(entries)` })
      .execute();
  }
}

/** The newest of each stream and id. Rows are locked in the order of their keys, here and by retention. */
async function insertCollapses(db: Writing, epoch: Buffer, inserted: readonly NewEntry[]): Promise<void> {
  const newest = new Map<string, ArchiveTables['archive_collapses']>();
  for (const { stream, collapseId, entry } of inserted) {
    if (collapseId === undefined) continue;
    const name = `${collapseId} ${stream}`;
    if ((newest.get(name)?.position ?? -Infinity) < entry.position) {
      const { position } = entry;
      newest.set(name, { epoch, stream: bytesOf(stream), collapse_id: bytesOf(collapseId), position });
    }
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
async function insertEndings(db: Writing, epoch: Buffer, inserted: readonly NewEntry[]): Promise<void> {
  const rows = inserted.flatMap(({ stream, entry: { position, acceptedAtMs, retentionMs } }) =>
    retentionMs === undefined
      ? []
      : [{ epoch, stream: bytesOf(stream), position, ends_at_ms: acceptedAtMs + retentionMs }],
  );
  for (const chunk of chunks(rows, () => 0)) {
    await db.insertInto('archive_endings').ignore().values(chunk).execute();
  }
}

/** Streams are locked in the order of their names, here and by retention. */
async function countEntries(db: Writing, epoch: string, inserted: readonly NewEntry[]): Promise<void> {
  const states = new Map<string, StreamState>();
  for (const { stream, entry } of inserted)
    states.set(stream, withAppended(states.get(stream) ?? NO_ENTRIES, 1, entry.acceptedAtMs));
  const of = nameLiteral(epoch);
  // Hexadecimal digits stand in the order of the bytes.
  const rows = [...states].map(([stream, state]) => [nameLiteral(stream), state] as const);
  rows.sort(([one], [other]) => (one < other ? -1 : 1));
  for (const chunk of chunks(rows, () => 0)) {
    const values = chunk.map(([stream, state]) => `(${of},${stream},${stateNumbers(state)})`).join(',');
    // The assignments are done in this order, and each sees those before it.
    await sql
      .raw(
        `INSERT INTO archive_streams
          (epoch, stream, floor, resumable, resumable_from_ms, archived, archived_from_ms)
        VALUES ${values}
        ON DUPLICATE KEY UPDATE
          resumable_from_ms = IF(resumable = 0, VALUES(resumable_from_ms), resumable_from_ms),
          archived_from_ms = IF(archived = 0, VALUES(archived_from_ms), archived_from_ms),
          resumable = resumable + VALUES(resumable),
          archived = archived + VALUES(archived)`,
      )
      .execute(db);
  }
}

function stateNumbers({ floor, resumable, resumableFromMs, archived, archivedFromMs }: StreamState): string {
  return [floor, resumable, resumableFromMs, archived, archivedFromMs].map(numberLiteral).join(',');
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

function keyOf({ stream, entry }: NewEntry): string {
  return `${entry.position} ${stream}`;
}

function bufferOf(body: Uint8Array): Buffer {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}
