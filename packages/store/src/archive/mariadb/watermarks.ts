import { sql, type Transaction } from 'kysely';

import { BEFORE_ALL, type Position } from '../../streams/streams.js';
import type { StoreBatch } from '../archive.js';
import type { ArchiveTables } from './tables.js';

type Writing = Transaction<ArchiveTables>;

/**
 * The compare-and-set of several shards: answers of each whether its watermark was `from`, and moves those. From then on
 * until its end no other transaction moves any of them. Rows are locked in the order of their shards.
 */
export async function moveWatermarks(
  db: Writing,
  epoch: Buffer,
  batches: readonly StoreBatch[],
): Promise<readonly boolean[]> {
  const stand = await lock(db, epoch, batches);
  const begun = batches.filter(({ shard, from }) => from === BEFORE_ALL && !stand.has(shard));
  if (begun.length > 0) {
    const rows = begun.map(({ shard }) => ({ epoch, shard, position: BEFORE_ALL }));
    rows.sort((one, other) => one.shard - other.shard);
    await db.insertInto('archive_watermarks').ignore().values(rows).execute();
    // Another node may have been faster.
    for (const [shard, position] of await lock(db, epoch, begun)) stand.set(shard, position);
  }
  const moved = batches.map(({ shard, from }) => stand.get(shard) === from);
  const rows = batches
    .filter((_, index) => moved[index])
    .map(({ shard, through }) => ({ epoch, shard, position: through }));
  if (rows.length > 0) {
    await db
      .insertInto('archive_watermarks')
      .values(rows)
      .onDuplicateKeyUpdate({ position: sql`VALUES(position)` })
      .execute();
  }
  return moved;
}

/** The watermarks that are there, which nobody else moves until the transaction ends. */
async function lock(
  db: Writing,
  epoch: Buffer,
  batches: readonly StoreBatch[],
): Promise<Map<number, Position>> {
  const rows = await db
    .selectFrom('archive_watermarks')
    .select(['shard', 'position'])
    .where('epoch', '=', epoch)
    .where(
      'shard',
      'in',
      batches.map(({ shard }) => shard),
    )
    .orderBy('shard')
    .forUpdate()
    .execute();
  return new Map(rows.map(({ shard, position }) => [shard, position]));
}
