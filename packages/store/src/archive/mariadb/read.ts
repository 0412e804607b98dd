import { HalleyError } from '@halley/protocol/error';
import { sql } from 'kysely';

import { BEFORE_ALL, type Position } from '../../streams/streams.js';
import {
  COUNT_LOOKS,
  type Archive,
  type ArchivedEntry,
  type ArchivePage,
  type CountQuery,
  type HistoryQuery,
} from '../archive.js';
import { fitting, HISTORY_MAX_BYTES } from '../page.js';
import { archivedName } from '../stream-name.js';
import { HEAD, type Head, headOf } from './entry-head.js';
import { bytesOf, type EntryRow, type Queries } from './tables.js';

type PlacedHead = Head & Pick<EntryRow, 'body_shard'>;

/** What resume reads; from one state, lest retention takes entries between the look at the floor and that at them. */
export async function readPage(
  db: Queries,
  epoch: string,
  query: Parameters<Archive['read']>[1],
): Promise<ArchivePage> {
  const [name, stream] = [bytesOf(epoch), bytesOf(archivedName(query.stream))];
  const state = await db
    .selectFrom('archive_streams')
    .select('floor')
    .where('epoch', '=', name)
    .where('stream', '=', stream)
    .executeTakeFirst();
  if (!state) return { entries: [], floor: BEFORE_ALL, more: false };
  const heads = await headsOf(db, name, stream)
    .where('position', '>', Math.max(query.after, state.floor))
    .where('position', '<=', query.through)
    .orderBy('position', 'asc')
    .limit(query.maxEntries + 1)
    .execute();
  const page = fitting(heads, bodyBytes, query.maxEntries, query.maxBytes);
  const entries = await withBodies(db, name, stream, page.rows);
  return { entries, floor: state.floor, more: page.more };
}

/** What history reads, from one state too. */
export async function readHistory(
  db: Queries,
  epoch: string,
  query: HistoryQuery,
): Promise<{ readonly entries: readonly ArchivedEntry[]; readonly more: boolean }> {
  const [name, stream] = [bytesOf(epoch), bytesOf(archivedName(query.stream))];
  const {
    afterPosition,
    beforePosition,
    fromMs,
    toMs,
    maxEntries,
    maxBytes = HISTORY_MAX_BYTES,
    nowMs,
  } = query;
  let select = headsOf(db, name, stream);
  if (afterPosition !== undefined) select = select.where('position', '>', afterPosition);
  if (beforePosition !== undefined) select = select.where('position', '<', beforePosition);
  if (fromMs !== undefined) select = select.where('accepted_at_ms', '>=', fromMs);
  if (toMs !== undefined) select = select.where('accepted_at_ms', '<', toMs);
  if (nowMs !== undefined) select = select.where(isShown(nowMs));
  const heads = await select
    .orderBy('position', query.direction === 'backward' ? 'desc' : 'asc')
    .limit(maxEntries + 1)
    .execute();
  const page = fitting(heads, bodyBytes, maxEntries, maxBytes);
  return { entries: await withBodies(db, name, stream, page.rows), more: page.more };
}

/** The newest entries of collapse ids. */
export async function readCollapsed(
  db: Queries,
  epoch: string,
  stream: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Position>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom('archive_collapses')
    .select(['collapse_id', 'position'])
    .where('epoch', '=', bytesOf(epoch))
    .where('stream', '=', bytesOf(archivedName(stream)))
    .where('collapse_id', 'in', ids.map(bytesOf))
    .execute();
  return new Map(rows.map(({ collapse_id, position }) => [collapse_id.toString('latin1'), position]));
}

/** As `endingOf` of the streams. */
function isShown(nowMs: number) {
  return sql<boolean>`((expire_at_ms = 0 OR expire_at_ms > ${nowMs})
    AND (retention_ms IS NULL OR accepted_at_ms + retention_ms > ${nowMs}))`;
}

/** Counts what one user has not sent itself, of so many rows that the limit is soon reached. */
export async function countOthers(db: Queries, epoch: string, query: CountQuery): Promise<number> {
  const { after, through, notFrom, nowMs, max } = query;
  const looked = db
    .selectFrom('archive_entries')
    .select(['sender_mid', 'expire_at_ms', 'accepted_at_ms', 'retention_ms'])
    .where('epoch', '=', bytesOf(epoch))
    .where('stream', '=', bytesOf(archivedName(query.stream)))
    .where('position', '>', after)
    .where('position', '<=', through)
    .orderBy('position', 'asc')
    .limit(COUNT_LOOKS * max)
    .as('looked');
  const { entries } = await db
    .selectFrom(looked)
    .select((eb) => eb.fn.countAll<number>().as('entries'))
    .where((eb) => eb.or([eb('sender_mid', 'is', null), eb('sender_mid', '!=', notFrom)]))
    .where(isShown(nowMs))
    .executeTakeFirstOrThrow();
  return Math.min(entries, max);
}

function headsOf(db: Queries, epoch: Buffer, stream: Buffer) {
  return db
    .selectFrom('archive_entries')
    .select([...HEAD, 'body_shard'])
    .where('epoch', '=', epoch)
    .where('stream', '=', stream);
}

/** Bodies are read once it is known which fit. */
async function withBodies(
  db: Queries,
  epoch: Buffer,
  stream: Buffer,
  heads: readonly PlacedHead[],
): Promise<ArchivedEntry[]> {
  const bodies = new Map<Position, Buffer>();
  const inline = heads.filter((head) => head.body_shard === null).map(({ position }) => position);
  if (inline.length > 0) {
    const rows = await db
      .selectFrom('archive_entries')
      .select(['position', 'body'])
      .where('epoch', '=', epoch)
      .where('stream', '=', stream)
      .where('position', 'in', inline)
      .execute();
    for (const { position, body } of rows) if (body) bodies.set(position, body);
  }
  for (const shard of new Set(heads.map(({ body_shard }) => body_shard))) {
    if (shard === null) continue;
    const positions = heads.filter((head) => head.body_shard === shard).map(({ position }) => position);
    const rows = await db
      .selectFrom('archive_bodies')
      .select(['position', 'body'])
      .where('epoch', '=', epoch)
      .where('shard', '=', shard)
      .where('position', 'in', positions)
      .execute();
    for (const { position, body } of rows) bodies.set(position, body);
  }
  return heads.map((head) => entryOf(head, bodies.get(head.position)));
}

function entryOf(head: Head, body: Buffer | undefined): ArchivedEntry {
  if (!body) throw new HalleyError('internal', `The archive has lost the body of position ${head.position}.`);
  return { ...headOf(head), body };
}

function bodyBytes(head: Head): number {
  return head.body_bytes;
}
