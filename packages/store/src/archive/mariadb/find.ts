import type { FoundEntry } from '../archive.js';
import { HEAD, headOf } from './entry-head.js';
import type { Queries } from './tables.js';

/** Entries by the id of their push; bodies are not read. */
export async function findEntries(
  db: Queries,
  caller: string,
  id: string,
  max: number,
): Promise<FoundEntry[]> {
  const rows = await db
    .selectFrom('archive_entries')
    .select(['epoch', 'stream', ...HEAD])
    .where('id', '=', id)
    .where('caller', '=', caller)
    .orderBy('stream')
    .limit(max)
    .execute();
  // To the database a name is the same with blanks behind it.
  const exact = rows.filter((row) => row.id === id && row.caller === caller);
  return exact.map((row) => ({
    ...headOf(row),
    epoch: row.epoch.toString('utf8'),
    stream: row.stream.toString('utf8'),
    bodyBytes: row.body_bytes,
  }));
}
