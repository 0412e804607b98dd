import { type Expression, type ExpressionBuilder, type SqlBool, sql, type Transaction } from 'kysely';

import type { ArchiveTables, Queries } from './tables.js';

type Writing = Transaction<ArchiveTables>;
type Place = Pick<ArchiveTables['archive_endings'], 'epoch' | 'stream' | 'position'>;

/** Entries of one transaction: short enough to keep nobody waiting. */
export const BLANKED_A_TRANSACTION = 200;

/** The next entries whose time is over. */
export function findEnded(db: Queries, beforeMs: number): Promise<readonly Place[]> {
  return db
    .selectFrom('archive_endings')
    .select(['epoch', 'stream', 'position'])
    .where('ends_at_ms', '<=', beforeMs)
    .orderBy('ends_at_ms')
    .limit(BLANKED_A_TRANSACTION)
    .execute();
}

/**
 * Takes the bodies of entries away; answers of how many. Another node may be at the same ones, and retention deletes some:
 * entries are locked before bodies, and bodies before endings, as there.
 */
export async function blankBodies(db: Writing, places: readonly Place[]): Promise<number> {
  const rows = await db
    .selectFrom('archive_entries')
    .select(['epoch', 'position', 'body_shard'])
    .where(isOneOf<'archive_entries'>(places))
    .where((eb) => eb.or([eb('body_shard', 'is not', null), eb('body', '!=', Buffer.alloc(0))]))
    .forUpdate()
    .execute();
  if (rows.length > 0) {
    await db
      .updateTable('archive_entries')
      .set({ body: Buffer.alloc(0), body_shard: null })
      .where(isOneOf<'archive_entries'>(places))
      .execute();
    await dropShared(db, rows);
  }
  await db.deleteFrom('archive_endings').where(isOneOf<'archive_endings'>(places)).execute();
  return rows.length;
}

/** By whole keys, which the database looks up one by one. */
function isOneOf<Table extends 'archive_entries' | 'archive_endings'>(places: readonly Place[]) {
  return (eb: ExpressionBuilder<ArchiveTables, Table>): Expression<SqlBool> =>
    eb.or(
      places.map(
        ({ epoch, stream, position }) =>
          sql<SqlBool>`(epoch = ${epoch} AND stream = ${stream} AND position = ${position})`,
      ),
    );
}

/** Takes the entries off their shared bodies, and the bodies that are then nobody's. */
async function dropShared(
  db: Writing,
  rows: readonly Pick<ArchiveTables['archive_entries'], 'epoch' | 'position' | 'body_shard'>[],
): Promise<void> {
  const shared = new Map<
    string,
    { readonly epoch: Buffer; shard: number; position: number; users: number }
  >();
  for (const { epoch, position, body_shard: shard } of rows) {
    if (shard === null) continue;
    const name = `${shard} ${position} ${epoch.toString('latin1')}`;
    const known = shared.get(name);
    if (known) known.users += 1;
    else shared.set(name, { epoch, shard, position, users: 1 });
  }
  const names = [...shared].sort(([one], [other]) => (one < other ? -1 : 1));
  for (const [, { epoch, shard, position, users }] of names) {
    const body = (eb: ExpressionBuilder<ArchiveTables, 'archive_bodies'>) =>
      eb.and([eb('epoch', '=', epoch), eb('shard', '=', shard), eb('position', '=', position)]);
    await db
      .updateTable('archive_bodies')
      .set({ entries: sql`entries - ${users}` })
      .where(body)
      .execute();
    await db.deleteFrom('archive_bodies').where(body).where('entries', '<=', 0).execute();
  }
}
