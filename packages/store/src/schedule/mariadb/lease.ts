import { sql } from 'kysely';

import { bytesOf } from '../../archive/mariadb/tables.js';
import {
  fitting,
  REFRESH_FIRED_MS,
  RETAIN_ROWS,
  type FinishedSchedule,
  type LeasedMember,
  type LeasedSchedule,
  type LeaseLimits,
} from '../schedules.js';
import type { Queries, Writing } from './tables.js';

/** Lanes that are anybody's, or the owner's, and have something due; in no order, so that jobs begin with different ones. */
export async function dueLanes(db: Queries, owner: string, nowMs: number): Promise<readonly number[]> {
  const found = await db
    .selectFrom('schedule_lanes as lanes')
    .select('lanes.lane')
    .where((eb) => eb.or([eb('lanes.until_ms', '<=', nowMs), eb('lanes.owner', '=', bytesOf(owner))]))
    // As a value, for which the database reads one entry of the index.
    .where(
      (eb) =>
        eb
          .selectFrom('schedules')
          .select('schedules.seq')
          .whereRef('schedules.lane', '=', 'lanes.lane')
          .where('schedules.queued_at_ms', '<=', nowMs)
          .orderBy('schedules.queued_at_ms')
          .limit(1),
      'is not',
      null,
    )
    .execute();
  return found
    .map(({ lane }) => ({ lane, place: Math.random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ lane }) => lane);
}

/** Leases what is due in these lanes, as far as nobody else has them. */
export async function leaseLanes(
  db: Writing,
  lanes: readonly number[],
  owner: string,
  limits: LeaseLimits,
  nowMs: number,
): Promise<readonly LeasedSchedule[]> {
  const rows: Head[] = [];
  const left = { rows: limits.maxRows, bytes: limits.maxBytes };
  for (const lane of lanes) {
    if (left.rows === 0 || left.bytes <= 0) break;
    if (!(await isFree(db, lane, owner, nowMs))) continue;
    const heads = fitting(await dueHeads(db, lane, left.rows, nowMs), left.bytes, rows.length === 0);
    if (heads.length === 0) continue;
    await db
      .updateTable('schedule_lanes')
      .set({ owner: bytesOf(owner), until_ms: nowMs + limits.leaseMs })
      .where('lane', '=', lane)
      .execute();
    rows.push(...heads);
    left.rows -= heads.length;
    left.bytes -= heads.reduce((sum, { bytes }) => sum + bytes, 0);
  }
  if (rows.length === 0) return [];
  const firing = await fire(db, rows, nowMs);
  return withContents(db, firing);
}

interface Head {
  readonly seq: number;
  readonly kind: string;
  readonly state: string;
  readonly bytes: number;
  readonly fired_at_ms: number | null;
}

interface Firing extends Head {
  readonly firedAtMs: number;
}

/** Whether it can be leased; nobody else can until the transaction ends. */
async function isFree(db: Writing, lane: number, owner: string, nowMs: number): Promise<boolean> {
  const free = await db
    .selectFrom('schedule_lanes')
    .select('lane')
    .where('lane', '=', lane)
    .where((eb) => eb.or([eb('until_ms', '<=', nowMs), eb('owner', '=', bytesOf(owner))]))
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
  return free !== undefined;
}

function dueHeads(db: Writing, lane: number, limit: number, nowMs: number): Promise<Head[]> {
  return db
    .selectFrom('schedules')
    .select(['seq', 'kind', 'state', 'bytes', 'fired_at_ms'])
    .where('lane', '=', lane)
    .where('queued_at_ms', '<=', nowMs)
    .orderBy('queued_at_ms')
    .orderBy('seq')
    .limit(limit)
    .forUpdate()
    .execute();
}

async function fire(db: Writing, rows: readonly Head[], nowMs: number): Promise<readonly Firing[]> {
  const isKept = ({ fired_at_ms }: Head): boolean =>
    fired_at_ms !== null && fired_at_ms > nowMs - REFRESH_FIRED_MS;
  const begun = rows.filter((row) => !isKept(row)).map(({ seq }) => seq);
  if (begun.length > 0) {
    await db
      .updateTable('schedules')
      .set({ state: 'firing', fired_at_ms: nowMs })
      .where('seq', 'in', begun)
      .execute();
  }
  const digests = rows.filter(({ kind }) => kind === 'digest').map(({ seq }) => seq);
  if (digests.length > 0) {
    await db
      .updateTable('schedules')
      .set({ state: 'firing', fired_at_ms: nowMs })
      .where('digest_seq', 'in', digests)
      .where('state', '=', 'waiting')
      .execute();
  }
  return rows.map((row) => ({ ...row, firedAtMs: isKept(row) ? Number(row.fired_at_ms) : nowMs }));
}

async function withContents(db: Writing, rows: readonly Firing[]): Promise<readonly LeasedSchedule[]> {
  const contents = await db
    .selectFrom('schedules')
    .select(['seq', 'caller_name', 'id', 'due_at_ms', 'expire_at_ms', 'content', 'body'])
    .where(
      'seq',
      'in',
      rows.map(({ seq }) => seq),
    )
    .execute();
  const bySeq = new Map(contents.map((row) => [row.seq, row]));
  const members = await membersOf(
    db,
    rows.filter(({ kind }) => kind === 'digest').map(({ seq }) => seq),
  );
  return rows.map(({ seq, kind, state, firedAtMs }) => {
    const row = bySeq.get(seq)!;
    return {
      seq,
      caller: row.caller_name,
      id: row.id.toString('utf8'),
      dueAtMs: row.due_at_ms,
      expireAtMs: row.expire_at_ms,
      firedAtMs,
      again: state === 'firing',
      content: row.content,
      body: row.body,
      members: kind === 'digest' ? (members.get(seq) ?? []) : undefined,
    };
  });
}

async function membersOf(
  db: Writing,
  digests: readonly number[],
): Promise<ReadonlyMap<number, readonly LeasedMember[]>> {
  const members = new Map<number, LeasedMember[]>();
  if (digests.length === 0) return members;
  const rows = await db
    .selectFrom('schedules')
    .select(['digest_seq', 'id', 'accepted_at_ms', 'body'])
    .where('digest_seq', 'in', digests)
    .where('state', '=', 'firing')
    .orderBy('seq')
    .execute();
  for (const { digest_seq, id, accepted_at_ms: acceptedAtMs, body: item } of rows) {
    const of = members.get(Number(digest_seq)) ?? [];
    members.set(Number(digest_seq), of);
    of.push({ id: id.toString('utf8'), acceptedAtMs, item });
  }
  return members;
}

export async function renewLanes(db: Queries, owner: string, untilMs: number): Promise<void> {
  await db
    .updateTable('schedule_lanes')
    .set({ until_ms: untilMs })
    .where('owner', '=', bytesOf(owner))
    .where('until_ms', '>', 0)
    .execute();
}

/** Groups first, as who puts members takes the group's row before the digest's. */
export async function finishRows(
  db: Writing,
  owner: string,
  ended: readonly FinishedSchedule[],
  nowMs: number,
): Promise<void> {
  for (const state of ['fired', 'failed'] as const) {
    const seqs = ended.filter((one) => one.state === state).map(({ seq }) => seq);
    if (seqs.length === 0) continue;
    await db.deleteFrom('schedule_groups').where('digest_seq', 'in', seqs).execute();
    for (const column of ['seq', 'digest_seq'] as const) {
      await db
        .updateTable('schedules')
        .set({ state, queued_at_ms: null, ended_at_ms: nowMs })
        .where(column, 'in', seqs)
        .where('state', '=', 'firing')
        .execute();
    }
  }
  await db
    .updateTable('schedule_lanes')
    .set({ owner: bytesOf(''), until_ms: 0 })
    .where('owner', '=', bytesOf(owner))
    .execute();
}

export async function retainRows(db: Queries, endedBeforeMs: number): Promise<number> {
  const gone = await db
    .deleteFrom('schedules')
    .where('ended_at_ms', '<=', endedBeforeMs)
    .orderBy('ended_at_ms')
    .limit(sql.lit(RETAIN_ROWS))
    .executeTakeFirst();
  return Number(gone.numDeletedRows);
}
