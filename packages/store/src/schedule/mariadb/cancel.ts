import { bytesOf } from '../../archive/mariadb/tables.js';
import type { ScheduleKind, ScheduleState } from '../schedules.js';
import { callerBytes, type Writing } from './tables.js';

interface Row {
  readonly seq: number;
  readonly kind: ScheduleKind;
  readonly state: ScheduleState;
  readonly digest_seq: number | null;
  /** Of a member: of its item. */
  readonly bytes: number;
}

/** Cancels what waits, and what goes with it. A digest's row is locked before its members', here and everywhere. */
export async function cancelRow(
  db: Writing,
  caller: string,
  id: string,
  nowMs: number,
): Promise<'cancelled' | 'too_late' | 'not_found'> {
  const found = await db
    .selectFrom('schedules')
    .select(['seq', 'digest_seq'])
    .where('caller', '=', callerBytes(caller))
    .where('id', '=', bytesOf(id))
    .executeTakeFirst();
  if (!found) return 'not_found';
  const digest = found.digest_seq === null ? undefined : await locked(db, found.digest_seq);
  const row = await locked(db, found.seq);
  if (!row) return 'not_found';
  if (row.state === 'cancelled') return 'cancelled';
  if (row.state !== 'waiting') return 'too_late';
  await end(db, 'seq', row.seq, nowMs);
  if (row.kind === 'digest') {
    await db.deleteFrom('schedule_groups').where('digest_seq', '=', row.seq).execute();
    await end(db, 'digest_seq', row.seq, nowMs);
  }
  if (digest) await leave(db, digest.seq, row.bytes + 1, nowMs);
  return 'cancelled';
}

async function locked(db: Writing, seq: number): Promise<Row | undefined> {
  return db
    .selectFrom('schedules')
    .select(['seq', 'kind', 'state', 'digest_seq', 'bytes'])
    .where('seq', '=', seq)
    .forUpdate()
    .executeTakeFirst();
}

async function end(db: Writing, column: 'seq' | 'digest_seq', seq: number, nowMs: number): Promise<void> {
  await db
    .updateTable('schedules')
    .set({ state: 'cancelled', queued_at_ms: null, ended_at_ms: nowMs })
    .where(column, '=', seq)
    .where('state', '=', 'waiting')
    .execute();
}

/** A member has left its digest; without any, that ends too. */
async function leave(db: Writing, seq: number, bytes: number, nowMs: number): Promise<void> {
  await db
    .updateTable('schedules')
    .set((eb) => ({ members: eb('members', '-', 1), bytes: eb('bytes', '-', bytes) }))
    .where('seq', '=', seq)
    .execute();
  const left = await db
    .selectFrom('schedules')
    .select('members')
    .where('seq', '=', seq)
    .executeTakeFirstOrThrow();
  if (left.members > 0) return;
  await db.deleteFrom('schedule_groups').where('digest_seq', '=', seq).execute();
  await end(db, 'seq', seq, nowMs);
}
