import type { Generated, Kysely, Transaction } from 'kysely';

import { archivedName } from '../../archive/stream-name.js';
import { bytesOf, type Queries as ArchiveQueries } from '../../archive/mariadb/tables.js';
import type { ScheduleKind, ScheduleState } from '../schedules.js';

/** The tables as migrations/004-schedules.sql makes them; what the columns mean is said there. Names are bytes. */
export interface ScheduleTables {
  schedules: {
    seq: Generated<number>;
    caller: Buffer;
    id: Buffer;
    caller_name: string;
    digest: Buffer;
    kind: ScheduleKind;
    state: ScheduleState;
    lane: number;
    due_at_ms: number;
    queued_at_ms: number | null;
    accepted_at_ms: number;
    expire_at_ms: number;
    fired_at_ms: number | null;
    ended_at_ms: number | null;
    digest_seq: number | null;
    digest_id: Buffer | null;
    members: Generated<number>;
    bytes: number;
    recurring: Buffer | null;
    content: Buffer;
    body: Buffer;
  };
  schedule_lanes: { lane: number; owner: Buffer; until_ms: number };
  schedule_groups: { caller: Buffer; name: Buffer; digest_seq: number };
  schedule_recurring: {
    caller: Buffer;
    name: Buffer;
    caller_name: string;
    revision: number;
    cron: string;
    time_zone: string;
    end_at_ms: number;
    expire_after_ms: number;
    next_at_ms: number | null;
    last_at_ms: number | null;
    missed: number;
    digest: Buffer;
    content: Buffer;
    body: Buffer;
  };
}

/** Lanes that the migration makes: a caller's rows are in one of them. */
const LANES = 16;

export type Queries = Kysely<ScheduleTables>;
export type Writing = Transaction<ScheduleTables>;

/** The archive's connections, for these tables. */
export function queriesOf(db: ArchiveQueries): Queries {
  return db as unknown as Queries;
}

/** A caller as it is compared and stored. */
export function callerBytes(caller: string): Buffer {
  return bytesOf(archivedName(caller));
}

export function laneOf(caller: Buffer): number {
  let sum = 0;
  for (const byte of caller) sum = (Math.imul(sum, 31) + byte) >>> 0;
  return sum % LANES;
}

export function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
