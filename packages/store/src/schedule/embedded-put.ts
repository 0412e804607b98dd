import type { Row, ScheduleTables } from './embedded-tables.js';
import { answerFor, later, type NewMember, type NewSchedule, type PutAnswer } from './schedules.js';

/** Puts one row, within a transaction. */
export function putRow(tables: ScheduleTables, row: NewSchedule, nowMs: number): PutAnswer {
  const there = tables.byId(row.caller, row.id);
  if (there) return answerFor(there, row.digest);
  const dueAtMs = row.kind === 'push' ? addPush(tables, row) : addMember(tables, row, nowMs);
  return { outcome: 'put', dueAtMs };
}

function addPush(tables: ScheduleTables, push: Extract<NewSchedule, { kind: 'push' }>): number {
  const { content, body, dueAtMs } = push;
  tables.add(
    {
      ...common(push, tables.nextSeq()),
      dueAtMs,
      bodyBytes: body.byteLength,
      bytes: content.byteLength + body.byteLength,
    },
    { content, body },
  );
  return dueAtMs;
}

function addMember(tables: ScheduleTables, member: NewMember, nowMs: number): number {
  const digest = joined(tables, member, nowMs);
  const { item } = member;
  tables.add(
    {
      ...common(member, tables.nextSeq()),
      dueAtMs: digest.dueAtMs,
      digestSeq: digest.seq,
      digestId: digest.id,
      bodyBytes: item.byteLength,
      bytes: item.byteLength,
    },
    { content: Buffer.alloc(0), body: item },
  );
  return digest.dueAtMs;
}

/** The open digest, with the member counted, or another where that is full or no longer waits. */
function joined(tables: ScheduleTables, member: NewMember, nowMs: number): Row {
  const { caller, group, maxCount, maxBytes, expireAtMs } = member;
  const open = tables.openDigest(caller, group);
  const bytes = member.item.byteLength + 1;
  if (open?.state !== 'waiting') return opened(tables, member, nowMs);
  if (open.members >= maxCount || open.bytes + bytes > maxBytes) {
    setDue(tables, open, Math.min(nowMs, open.dueAtMs));
    return opened(tables, member, nowMs);
  }
  const counted = {
    ...open,
    members: open.members + 1,
    bytes: open.bytes + bytes,
    expireAtMs: later(open.expireAtMs, expireAtMs),
  };
  tables.change(open, counted);
  if (counted.members < maxCount) return counted;
  return setDue(tables, counted, Math.min(nowMs, open.dueAtMs));
}

function opened(tables: ScheduleTables, member: NewMember, nowMs: number): Row {
  const { caller, group, opens, maxCount, windowMs, item } = member;
  const digest: Row = {
    ...common(member, tables.nextSeq()),
    kind: 'digest',
    id: opens.id,
    group,
    dueAtMs: nowMs + (maxCount === 1 ? 0 : windowMs),
    members: 1,
    bytes: item.byteLength + 1,
  };
  tables.add(digest, { content: opens.content, body: Buffer.alloc(0) });
  tables.open(caller, group, digest.seq);
  return digest;
}

/** Of a digest and its members. */
function setDue(tables: ScheduleTables, digest: Row, dueAtMs: number): Row {
  tables.change(digest, { dueAtMs });
  for (const member of tables.membersOf(digest.seq)) tables.change(member, { dueAtMs });
  return { ...digest, dueAtMs };
}

function common(row: NewSchedule, seq: number) {
  const { caller, id, digest, kind, acceptedAtMs, expireAtMs } = row;
  const fields = { caller, id, digest, kind, acceptedAtMs, expireAtMs };
  return { ...fields, seq, state: 'waiting' as const, members: 0, bodyBytes: 0 };
}
