import { bytesOf } from '../../archive/mariadb/tables.js';
import {
  answerFor,
  later,
  type NewMember,
  type NewPush,
  type NewSchedule,
  type PutAnswer,
  type ScheduleState,
} from '../schedules.js';
import { buffer, callerBytes, laneOf, type Writing } from './tables.js';

const ROWS_A_STATEMENT = 200;
/** Of contents and bodies, which take twice as much in a statement: together below a max_allowed_packet of 8 MiB. */
const BYTES_A_STATEMENT = 2 * 1_048_576;

interface Known {
  readonly digest: string;
  readonly state: ScheduleState;
  readonly dueAtMs: number;
}

/**
 * Puts rows in their order, and answers each in it. Fails with MariaDB's error 1062 when somebody else puts one of them at the
 * same time: repeated, the transaction finds it.
 */
export async function putRows(
  db: Writing,
  rows: readonly NewSchedule[],
  nowMs: number,
): Promise<readonly PutAnswer[]> {
  const known = await knownOf(db, rows);
  const answers: PutAnswer[] = [];
  const pushes: NewPush[] = [];
  for (const row of rows) {
    const key = keyOf(row);
    const there = known.get(key);
    if (there) {
      answers.push(answerFor(there, row.digest));
      continue;
    }
    let dueAtMs: number;
    if (row.kind === 'push') {
      pushes.push(row);
      ({ dueAtMs } = row);
    } else {
      // In the order of acceptance.
      await insertPushes(db, pushes.splice(0));
      dueAtMs = await putMember(db, row, nowMs);
    }
    known.set(key, { digest: row.digest, state: 'waiting', dueAtMs });
    answers.push({ outcome: 'put', dueAtMs });
  }
  await insertPushes(db, pushes);
  return answers;
}

/** What is there under the ids of these rows. */
async function knownOf(db: Writing, rows: readonly NewSchedule[]): Promise<Map<string, Known>> {
  const idsOf = new Map<string, Buffer[]>();
  for (const { caller, id } of rows) {
    const ids = idsOf.get(caller) ?? [];
    idsOf.set(caller, ids);
    ids.push(bytesOf(id));
  }
  const known = new Map<string, Known>();
  for (const [caller, ids] of idsOf) {
    const found = await db
      .selectFrom('schedules')
      .select(['id', 'digest', 'state', 'due_at_ms'])
      .where('caller', '=', callerBytes(caller))
      .where('id', 'in', ids)
      .execute();
    for (const row of found) {
      const key = keyOf({ caller, id: row.id.toString('utf8') });
      known.set(key, { digest: row.digest.toString('utf8'), state: row.state, dueAtMs: row.due_at_ms });
    }
  }
  return known;
}

async function insertPushes(db: Writing, pushes: readonly NewPush[]): Promise<void> {
  for (const chunk of chunksOf(pushes)) await db.insertInto('schedules').values(chunk.map(rowOf)).execute();
}

/** Whoever has the group's row decides which digest the member belongs to. Answers when that is due. */
async function putMember(db: Writing, member: NewMember, nowMs: number): Promise<number> {
  const caller = callerBytes(member.caller);
  const name = bytesOf(member.group);
  // Made first, so that there is a row to lock.
  await db
    .insertInto('schedule_groups')
    .values({ caller, name, digest_seq: 0 })
    .onDuplicateKeyUpdate({ name })
    .execute();
  const group = await db
    .selectFrom('schedule_groups')
    .select('digest_seq')
    .where('caller', '=', caller)
    .where('name', '=', name)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const digest = await joined(db, member, group.digest_seq, nowMs);
  if (digest.seq !== group.digest_seq) {
    await db
      .updateTable('schedule_groups')
      .set({ digest_seq: digest.seq })
      .where('caller', '=', caller)
      .where('name', '=', name)
      .execute();
  }
  await db
    .insertInto('schedules')
    .values({
      ...common(member),
      due_at_ms: digest.dueAtMs,
      queued_at_ms: null,
      digest_seq: digest.seq,
      digest_id: digest.id,
      bytes: member.item.byteLength,
      content: Buffer.alloc(0),
      body: buffer(member.item),
    })
    .execute();
  return digest.dueAtMs;
}

interface Digest {
  readonly seq: number;
  readonly id: Buffer;
  readonly dueAtMs: number;
}

/** The open digest, with the member counted, or another where that is full or no longer waits. */
async function joined(db: Writing, member: NewMember, seq: number, nowMs: number): Promise<Digest> {
  const open = await db
    .selectFrom('schedules')
    .select(['seq', 'id', 'state', 'due_at_ms', 'members', 'bytes', 'expire_at_ms'])
    .where('seq', '=', seq)
    .forUpdate()
    .executeTakeFirst();
  const bytes = member.item.byteLength + 1;
  if (open?.state !== 'waiting') return opened(db, member, nowMs);
  const soonerMs = Math.min(nowMs, open.due_at_ms);
  if (open.members >= member.maxCount || open.bytes + bytes > member.maxBytes) {
    await setDue(db, seq, soonerMs);
    return opened(db, member, nowMs);
  }
  await db
    .updateTable('schedules')
    .set({
      members: open.members + 1,
      bytes: open.bytes + bytes,
      expire_at_ms: later(open.expire_at_ms, member.expireAtMs),
    })
    .where('seq', '=', seq)
    .execute();
  if (open.members + 1 < member.maxCount) return { seq, id: open.id, dueAtMs: open.due_at_ms };
  await setDue(db, seq, soonerMs);
  return { seq, id: open.id, dueAtMs: soonerMs };
}

async function opened(db: Writing, member: NewMember, nowMs: number): Promise<Digest> {
  const dueAtMs = nowMs + (member.maxCount === 1 ? 0 : member.windowMs);
  const id = bytesOf(member.opens.id);
  const made = await db
    .insertInto('schedules')
    .values({
      ...common(member),
      id,
      kind: 'digest',
      due_at_ms: dueAtMs,
      queued_at_ms: dueAtMs,
      members: 1,
      bytes: member.item.byteLength + 1,
      content: buffer(member.opens.content),
      body: Buffer.alloc(0),
    })
    .executeTakeFirstOrThrow();
  return { seq: Number(made.insertId), id, dueAtMs };
}

/** Of a digest and its members. */
async function setDue(db: Writing, seq: number, dueAtMs: number): Promise<void> {
  await db
    .updateTable('schedules')
    .set({ due_at_ms: dueAtMs, queued_at_ms: dueAtMs })
    .where('seq', '=', seq)
    .execute();
  await db.updateTable('schedules').set({ due_at_ms: dueAtMs }).where('digest_seq', '=', seq).execute();
}

/** A row of a push; also of an occurrence. */
export function rowOf(push: NewPush) {
  return {
    ...common(push),
    due_at_ms: push.dueAtMs,
    queued_at_ms: push.dueAtMs,
    bytes: push.content.byteLength + push.body.byteLength,
    content: buffer(push.content),
    body: buffer(push.body),
  };
}

function common(row: NewSchedule) {
  const caller = callerBytes(row.caller);
  return {
    caller,
    id: bytesOf(row.id),
    caller_name: row.caller,
    digest: bytesOf(row.digest),
    kind: row.kind,
    state: 'waiting' as const,
    lane: laneOf(caller),
    accepted_at_ms: row.acceptedAtMs,
    expire_at_ms: row.expireAtMs,
  };
}

function keyOf({ caller, id }: { readonly caller: string; readonly id: string }): string {
  return `${caller.length} ${caller} ${id}`;
}

function* chunksOf(pushes: readonly NewPush[]): Generator<readonly NewPush[]> {
  let chunk: NewPush[] = [];
  let bytes = 0;
  for (const push of pushes) {
    const more = push.content.byteLength + push.body.byteLength;
    if (chunk.length === ROWS_A_STATEMENT || (chunk.length > 0 && bytes + more > BYTES_A_STATEMENT)) {
      yield chunk;
      chunk = [];
      bytes = 0;
    }
    chunk.push(push);
    bytes += more;
  }
  if (chunk.length > 0) yield chunk;
}
