import { sql, type Transaction } from 'kysely';

import { BEFORE_ALL, type Position } from '../../streams/streams.js';
import type { Retention } from '../archive.js';
import {
  ENTRIES_A_STEP,
  isDue,
  retainStep,
  STREAMS_A_CALL,
  type AgedEntry,
  type StreamState,
} from '../retention.js';
import type { ArchiveTables, Queries } from './tables.js';

type Writing = Transaction<ArchiveTables>;

/** A stream as the tables name it. */
export interface StreamKey {
  readonly epoch: Buffer;
  readonly stream: Buffer;
}

interface Aged extends AgedEntry {
  readonly bodyShard: number | null;
  readonly collapseId: Buffer | null;
  /** Whether it is kept for a time of its own. */
  readonly ends: boolean;
}

const STATE = ['floor', 'resumable', 'resumable_from_ms', 'archived', 'archived_from_ms'] as const;

/** Looks at the next streams; answers those with something to do, and where to go on: undefined is from the start. */
export async function findDue(
  db: Queries,
  after: StreamKey | undefined,
  retention: Retention,
): Promise<{ readonly due: readonly StreamKey[]; readonly next: StreamKey | undefined }> {
  let select = db
    .selectFrom('archive_streams')
    .select(['epoch', 'stream', ...STATE])
    .orderBy('epoch')
    .orderBy('stream')
    .limit(STREAMS_A_CALL);
  if (after) {
    select = select
      .where('epoch', '>=', after.epoch)
      .where((eb) => eb.or([eb('epoch', '>', after.epoch), eb('stream', '>', after.stream)]));
  }
  const rows = await select.execute();
  return {
    due: rows.filter((row) => isDue(stateOf(row), retention)),
    next: rows.length < STREAMS_A_CALL ? undefined : rows.at(-1),
  };
}

/** One step for each of the streams, in one transaction; one that another node is busy with is left to it. */
export async function retainStreams(
  db: Writing,
  keys: readonly StreamKey[],
  retention: Retention,
): Promise<number> {
  let gone = 0;
  for (const key of keys) gone += await retainStream(db, key, retention);
  return gone;
}

async function retainStream(db: Writing, key: StreamKey, retention: Retention): Promise<number> {
  const row = await db
    .selectFrom('archive_streams')
    .select(STATE)
    .where('epoch', '=', key.epoch)
    .where('stream', '=', key.stream)
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
  if (!row) return 0;
  const before = stateOf(row);
  const front = await above(db, key, before.floor);
  const oldest = before.floor === BEFORE_ALL ? front : await above(db, key, BEFORE_ALL);
  const { state, deleted } = retainStep(before, retention, front, oldest);
  await db
    .updateTable('archive_streams')
    .set({
      floor: state.floor,
      resumable: state.resumable,
      resumable_from_ms: state.resumableFromMs,
      archived: state.archived,
      archived_from_ms: state.archivedFromMs,
    })
    .where('epoch', '=', key.epoch)
    .where('stream', '=', key.stream)
    .execute();
  if (deleted.length === 0) return 0;
  // By position rather than by range: what is being stored behind them is not waited for.
  await db
    .deleteFrom('archive_entries')
    .where('epoch', '=', key.epoch)
    .where('stream', '=', key.stream)
    .where(
      'position',
      'in',
      deleted.map(({ position }) => position),
    )
    .execute();
  await dropBodies(db, key.epoch, deleted);
  await dropCollapses(db, key, deleted);
  await dropEndings(db, key, deleted);
  return deleted.length;
}

async function above(db: Writing, { epoch, stream }: StreamKey, position: Position): Promise<Aged[]> {
  const rows = await db
    .selectFrom('archive_entries')
    .select(['position', 'accepted_at_ms', 'body_shard', 'collapse_id', 'retention_ms'])
    .where('epoch', '=', epoch)
    .where('stream', '=', stream)
    .where('position', '>', position)
    .orderBy('position')
    .limit(ENTRIES_A_STEP + 1)
    .execute();
  return rows.map((row) => ({
    position: row.position,
    acceptedAtMs: row.accepted_at_ms,
    bodyShard: row.body_shard,
    collapseId: row.collapse_id,
    ends: row.retention_ms !== null,
  }));
}

/** An id goes with its newest entry. */
async function dropCollapses(
  db: Writing,
  { epoch, stream }: StreamKey,
  deleted: readonly Aged[],
): Promise<void> {
  const ids = deleted.flatMap(({ collapseId }) => collapseId ?? []);
  const last = deleted.at(-1);
  if (ids.length === 0 || !last) return;
  await db
    .deleteFrom('archive_collapses')
    .where('epoch', '=', epoch)
    .where('stream', '=', stream)
    .where(
      'collapse_id',
      'in',
      ids.sort((one, other) => Buffer.compare(one, other)),
    )
    .where('position', '<=', last.position)
    .execute();
}

async function dropEndings(
  db: Writing,
  { epoch, stream }: StreamKey,
  deleted: readonly Aged[],
): Promise<void> {
  const positions = deleted.filter(({ ends }) => ends).map(({ position }) => position);
  if (positions.length === 0) return;
  await db
    .deleteFrom('archive_endings')
    .where('epoch', '=', epoch)
    .where('stream', '=', stream)
    .where('position', 'in', positions)
    .execute();
}

/** Takes the deleted entries off their bodies, and the bodies that are then nobody's. */
async function dropBodies(db: Writing, epoch: Buffer, deleted: readonly Aged[]): Promise<void> {
  for (const shard of new Set(deleted.map(({ bodyShard }) => bodyShard))) {
    if (shard === null) continue;
    const positions = deleted.filter(({ bodyShard }) => bodyShard === shard).map(({ position }) => position);
    await db
      .updateTable('archive_bodies')
      .set({ entries: sql`entries - 1` })
      .where('epoch', '=', epoch)
      .where('shard', '=', shard)
      .where('position', 'in', positions)
      .execute();
    await db
      .deleteFrom('archive_bodies')
      .where('epoch', '=', epoch)
      .where('shard', '=', shard)
      .where('position', 'in', positions)
      .where('entries', '<=', 0)
      .execute();
  }
}

function stateOf(row: Omit<ArchiveTables['archive_streams'], keyof StreamKey>): StreamState {
  return {
    floor: row.floor,
    resumable: row.resumable,
    resumableFromMs: row.resumable_from_ms,
    archived: row.archived,
    archivedFromMs: row.archived_from_ms,
  };
}
