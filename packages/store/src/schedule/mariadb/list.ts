import { sql } from 'kysely';

import { bytesOf } from '../../archive/mariadb/tables.js';
import {
  fitting,
  LIST_MAX_BYTES,
  type ListQuery,
  type Schedule,
  type SchedulePlace,
  type ScheduleState,
} from '../schedules.js';
import { callerBytes, type Queries } from './tables.js';

const COLUMNS = [
  'seq',
  'caller_name',
  'id',
  'digest',
  'kind',
  'state',
  'due_at_ms',
  'accepted_at_ms',
  'expire_at_ms',
  'fired_at_ms',
  'ended_at_ms',
  'digest_id',
  'members',
  'recurring',
  'content',
] as const;

const BODY_BYTES = sql<number>`OCTET_LENGTH(body)`.as('body_bytes');

export async function getRow(
  db: Queries,
  caller: string,
  id: string,
): Promise<(Schedule & { readonly body: Buffer }) | undefined> {
  const row = await db
    .selectFrom('schedules')
    .select([...COLUMNS, 'body', BODY_BYTES])
    .where('caller', '=', callerBytes(caller))
    .where('id', '=', bytesOf(id))
    .executeTakeFirst();
  return row && { ...scheduleOf(row), body: row.body };
}

/** Places first, state by state as the index has them; then the rows, as far as their contents go into a page. */
export async function listRows(
  db: Queries,
  { caller, states, after, limit }: ListQuery,
): Promise<{ readonly rows: readonly Schedule[]; readonly next: SchedulePlace | undefined }> {
  const found = (
    await Promise.all([...new Set(states)].map((state) => placesOf(db, caller, state, after, limit + 1)))
  )
    .flat()
    .sort((one, other) => one.dueAtMs - other.dueAtMs || one.seq - other.seq);
  const page = fitting(found.slice(0, limit), LIST_MAX_BYTES, true);
  const last = page.at(-1);
  if (!last) return { rows: [], next: undefined };
  const rows = await db
    .selectFrom('schedules')
    .select([...COLUMNS, BODY_BYTES])
    .where(
      'seq',
      'in',
      page.map(({ seq }) => seq),
    )
    .execute();
  const bySeq = new Map(rows.map((row) => [row.seq, scheduleOf(row)]));
  return {
    // One that was removed meanwhile is left out.
    rows: page.flatMap(({ seq }) => bySeq.get(seq) ?? []),
    next: page.length < found.length ? { dueAtMs: last.dueAtMs, seq: last.seq } : undefined,
  };
}

async function placesOf(
  db: Queries,
  caller: string,
  state: ScheduleState,
  after: SchedulePlace | undefined,
  limit: number,
) {
  let query = db
    .selectFrom('schedules')
    .select(['seq', 'due_at_ms', sql<number>`OCTET_LENGTH(content)`.as('bytes')])
    .where('caller', '=', callerBytes(caller))
    .where('state', '=', state);
  if (after) {
    query = query
      .where('due_at_ms', '>=', after.dueAtMs)
      .where((eb) => eb.or([eb('due_at_ms', '>', after.dueAtMs), eb('seq', '>', after.seq)]));
  }
  const rows = await query.orderBy('due_at_ms').orderBy('seq').limit(limit).execute();
  return rows.map(({ seq, due_at_ms: dueAtMs, bytes }) => ({ seq, dueAtMs, bytes }));
}

interface Row {
  readonly caller_name: string;
  readonly id: Buffer;
  readonly digest: Buffer;
  readonly kind: Schedule['kind'];
  readonly state: ScheduleState;
  readonly due_at_ms: number;
  readonly accepted_at_ms: number;
  readonly expire_at_ms: number;
  readonly fired_at_ms: number | null;
  readonly ended_at_ms: number | null;
  readonly digest_id: Buffer | null;
  readonly members: number;
  readonly recurring: Buffer | null;
  readonly content: Buffer;
  readonly body_bytes: number;
}

function scheduleOf(row: Row): Schedule {
  return {
    caller: row.caller_name,
    id: row.id.toString('utf8'),
    digest: row.digest.toString('utf8'),
    kind: row.kind,
    state: row.state,
    dueAtMs: row.due_at_ms,
    acceptedAtMs: row.accepted_at_ms,
    expireAtMs: row.expire_at_ms,
    firedAtMs: row.fired_at_ms ?? undefined,
    endedAtMs: row.ended_at_ms ?? undefined,
    content: row.content,
    bodyBytes: row.body_bytes,
    digestId: row.digest_id?.toString('utf8'),
    members: row.members,
    recurring: row.recurring?.toString('utf8'),
  };
}
