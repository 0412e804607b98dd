import { bytesOf } from '../../archive/mariadb/tables.js';
import { occurrenceId, type Advance, type NewRecurring, type Recurring } from '../recurring.js';
import { rowOf } from './put.js';
import { buffer, callerBytes, type Queries, type Writing } from './tables.js';

const COLUMNS = [
  'name',
  'caller_name',
  'revision',
  'cron',
  'time_zone',
  'end_at_ms',
  'expire_after_ms',
  'next_at_ms',
  'last_at_ms',
  'missed',
  'digest',
  'content',
] as const;

export async function putRecurringRow(db: Queries, recurring: NewRecurring): Promise<void> {
  const set = {
    caller_name: recurring.caller,
    cron: recurring.cron,
    time_zone: recurring.timeZone,
    end_at_ms: recurring.endAtMs,
    expire_after_ms: recurring.expireAfterMs,
    next_at_ms: recurring.nextAtMs ?? null,
    last_at_ms: null,
    missed: 0,
    digest: bytesOf(recurring.digest),
    content: buffer(recurring.content),
    body: buffer(recurring.body),
  };
  await db
    .insertInto('schedule_recurring')
    .values({ ...set, caller: callerBytes(recurring.caller), name: bytesOf(recurring.name), revision: 1 })
    .onDuplicateKeyUpdate((eb) => ({ ...set, revision: eb('schedule_recurring.revision', '+', 1) }))
    .execute();
}

export async function getRecurringRow(
  db: Queries,
  caller: string,
  name: string,
): Promise<Recurring | undefined> {
  const row = await db
    .selectFrom('schedule_recurring')
    .select([...COLUMNS, 'body'])
    .where('caller', '=', callerBytes(caller))
    .where('name', '=', bytesOf(name))
    .executeTakeFirst();
  return row && recurringOf(row);
}

export async function deleteRecurringRow(db: Queries, caller: string, name: string): Promise<boolean> {
  const gone = await db
    .deleteFrom('schedule_recurring')
    .where('caller', '=', callerBytes(caller))
    .where('name', '=', bytesOf(name))
    .executeTakeFirst();
  return gone.numDeletedRows > 0n;
}

export async function listRecurringRows(
  db: Queries,
  caller: string,
  after: string | undefined,
  limit: number,
): Promise<{ readonly rows: readonly Recurring[]; readonly more: boolean }> {
  let query = db.selectFrom('schedule_recurring').select(COLUMNS).where('caller', '=', callerBytes(caller));
  if (after !== undefined) query = query.where('name', '>', bytesOf(after));
  const rows = await query
    .orderBy('name')
    .limit(limit + 1)
    .execute();
  return { rows: rows.slice(0, limit).map(recurringOf), more: rows.length > limit };
}

export async function dueRecurringRows(
  db: Queries,
  nowMs: number,
  limit: number,
): Promise<readonly Recurring[]> {
  const rows = await db
    .selectFrom('schedule_recurring')
    .select(COLUMNS)
    .where('next_at_ms', '<=', nowMs)
    .orderBy('next_at_ms')
    .limit(limit)
    .execute();
  return rows.map(recurringOf);
}

export async function advanceRow(db: Writing, advance: Advance, nowMs: number): Promise<boolean | 'taken'> {
  const { caller, name, revision, dueAtMs, expireAtMs } = advance;
  const row = await db
    .selectFrom('schedule_recurring')
    .select(['revision', 'missed', 'digest', 'content', 'body'])
    .where('caller', '=', callerBytes(caller))
    .where('name', '=', bytesOf(name))
    .forUpdate()
    .executeTakeFirst();
  if (row?.revision !== revision) return false;
  await db
    .updateTable('schedule_recurring')
    .set({
      revision: revision + 1,
      next_at_ms: advance.nextAtMs ?? null,
      last_at_ms: dueAtMs,
      missed: row.missed + advance.missed,
    })
    .where('caller', '=', callerBytes(caller))
    .where('name', '=', bytesOf(name))
    .execute();
  const put = await db
    .insertInto('schedules')
    .ignore()
    .values({
      ...rowOf({
        kind: 'push',
        caller,
        id: occurrenceId(name, dueAtMs),
        digest: row.digest.toString('utf8'),
        acceptedAtMs: nowMs,
        expireAtMs,
        dueAtMs,
        content: row.content,
        body: row.body,
      }),
      recurring: bytesOf(name),
    })
    .executeTakeFirst();
  return put.numInsertedOrUpdatedRows === 1n ? true : 'taken';
}

interface Row {
  readonly name: Buffer;
  readonly caller_name: string;
  readonly revision: number;
  readonly cron: string;
  readonly time_zone: string;
  readonly end_at_ms: number;
  readonly expire_after_ms: number;
  readonly next_at_ms: number | null;
  readonly last_at_ms: number | null;
  readonly missed: number;
  readonly digest: Buffer;
  readonly content: Buffer;
  readonly body?: Buffer;
}

function recurringOf(row: Row): Recurring {
  return {
    caller: row.caller_name,
    name: row.name.toString('utf8'),
    revision: row.revision,
    cron: row.cron,
    timeZone: row.time_zone,
    endAtMs: row.end_at_ms,
    expireAfterMs: row.expire_after_ms,
    nextAtMs: row.next_at_ms ?? undefined,
    lastAtMs: row.last_at_ms ?? undefined,
    missed: row.missed,
    digest: row.digest.toString('utf8'),
    content: row.content,
    body: row.body ?? Buffer.alloc(0),
  };
}
