import { HalleyError } from '@halley/protocol/error';
import { systemClock, type Clock } from '@halley/service/clock';

import { archivedName } from '../archive/stream-name.js';
import { openEmbeddedDatabase, type EmbeddedDatabase } from '../embedded-database.js';
import { putRow } from './embedded-put.js';
import { ScheduleTables, type RecurringRow, type Row } from './embedded-tables.js';
import { occurrenceId, type Advance, type NewRecurring, type Recurring } from './recurring.js';
import {
  fitting,
  LIST_MAX_BYTES,
  REFRESH_FIRED_MS,
  RETAIN_ROWS,
  type FinishedSchedule,
  type LeasedSchedule,
  type LeaseLimits,
  type ListQuery,
  type NewSchedule,
  type PutAnswer,
  type Schedule,
  type Schedules,
} from './schedules.js';

export interface EmbeddedSchedulesDeps {
  /** An existing folder; the schedules are in its `halley.mdb`, in the tables `schedule…`. */
  readonly dataDir: string;
  /** Decides what is due. */
  readonly clock?: Pick<Clock, 'now'>;
}

const LEASE = ['all'];

/** Schedules in the file of the data folder, for one process. All callers are leased together. */
export class EmbeddedSchedules implements Schedules {
  readonly name = 'schedules (embedded)';
  readonly #clock: Pick<Clock, 'now'>;
  #database: EmbeddedDatabase | undefined;
  #tables: ScheduleTables | undefined;

  constructor(private readonly deps: EmbeddedSchedulesDeps) {
    this.#clock = deps.clock ?? systemClock;
  }

  async start(): Promise<void> {
    this.#database = await openEmbeddedDatabase(this.deps.dataDir);
    this.#tables = new ScheduleTables(this.#database);
  }

  async stop(): Promise<void> {
    this.#tables = undefined;
    await this.#database?.release();
    this.#database = undefined;
  }

  healthy(): boolean {
    return this.#tables !== undefined;
  }

  put(rows: readonly NewSchedule[]): Promise<readonly PutAnswer[]> {
    return this.#flushed((tables, nowMs) => rows.map((row) => putRow(tables, row, nowMs)));
  }

  cancel(caller: string, id: string): Promise<'cancelled' | 'too_late' | 'not_found'> {
    return this.#flushed((tables, nowMs) => {
      const row = tables.byId(caller, id);
      if (!row) return 'not_found';
      if (row.state === 'cancelled') return 'cancelled';
      if (row.state !== 'waiting') return 'too_late';
      cancelRow(tables, row, nowMs);
      return 'cancelled';
    });
  }

  async get(caller: string, id: string): ReturnType<Schedules['get']> {
    const tables = this.#fresh();
    const row = tables.byId(caller, id);
    return row && { ...scheduleOf(tables, row), body: tables.blobs(row.seq).body };
  }

  async list({ caller, states, after, limit }: ListQuery): ReturnType<Schedules['list']> {
    const tables = this.#fresh();
    const name = archivedName(caller);
    const found = [...new Set(states)]
      .flatMap((state) => [
        ...tables.times.getKeys({
          start: after ? [name, state, after.dueAtMs, after.seq] : [name, state],
          end: [name, state, Infinity],
          exclusiveStart: true,
          limit: limit + 1,
        }),
      ])
      .map(([, , dueAtMs, seq]) => ({ dueAtMs: Number(dueAtMs), seq: Number(seq) }))
      .sort((one, other) => one.dueAtMs - other.dueAtMs || one.seq - other.seq);
    const sized = found.slice(0, limit).flatMap((place) => {
      const row = tables.row(place.seq);
      if (!row) return [];
      const schedule = scheduleOf(tables, row);
      return [{ ...place, schedule, bytes: schedule.content.byteLength }];
    });
    const page = fitting(sized, LIST_MAX_BYTES, true);
    const last = page.at(-1);
    return {
      rows: page.map(({ schedule }) => schedule),
      next: last && page.length < found.length ? { dueAtMs: last.dueAtMs, seq: last.seq } : undefined,
    };
  }

  async next(): ReturnType<Schedules['next']> {
    const tables = this.#fresh();
    const [schedule] = tables.queue.getKeys({ limit: 1 });
    const [recurring] = tables.recurringDue.getKeys({ limit: 1 });
    return {
      nowMs: this.#clock.now(),
      scheduleAtMs: schedule ? Number(schedule[0]) : undefined,
      recurringAtMs: recurring ? Number(recurring[0]) : undefined,
    };
  }

  /** Flushed: what is on its way into the bus is not told as cancelled after a crash. */
  lease(owner: string, limits: LeaseLimits): ReturnType<Schedules['lease']> {
    return this.#flushed((tables, nowMs) => {
      const held = tables.lease.get(LEASE);
      if (held && held.owner !== owner && held.untilMs > nowMs) return { nowMs, rows: [] };
      const keys = tables.queue.getKeys({ end: [nowMs, Infinity], limit: limits.maxRows });
      const due = [...keys].flatMap(([, seq]) => tables.row(Number(seq)) ?? []);
      const rows = fitting(due, limits.maxBytes, true).map((row) => fire(tables, row, nowMs));
      if (rows.length > 0) void tables.lease.put(LEASE, { owner, untilMs: nowMs + limits.leaseMs });
      return { nowMs, rows };
    });
  }

  renew(owner: string, leaseMs: number): Promise<void> {
    return this.#write((tables, nowMs) => {
      if (tables.lease.get(LEASE)?.owner !== owner) return;
      void tables.lease.put(LEASE, { owner, untilMs: nowMs + leaseMs });
    });
  }

  finish(owner: string, ended: readonly FinishedSchedule[]): Promise<void> {
    return this.#write((tables, endedAtMs) => {
      for (const { seq, state } of ended) {
        const row = tables.row(seq);
        if (!row || row.state !== 'firing') continue;
        tables.change(row, { state, endedAtMs });
        if (row.kind !== 'digest') continue;
        tables.forgetGroup(row);
        for (const member of tables.membersOf(seq))
          if (member.state === 'firing') tables.change(member, { state, endedAtMs });
      }
      if (tables.lease.get(LEASE)?.owner === owner) void tables.lease.remove(LEASE);
    });
  }

  retain(keepMs: number): Promise<number> {
    return this.#write((tables, nowMs) => {
      const keys = [...tables.ended.getKeys({ end: [nowMs - keepMs, Infinity], limit: RETAIN_ROWS })];
      for (const [, seq] of keys) {
        const row = tables.row(Number(seq));
        if (row) tables.remove(row);
      }
      return keys.length;
    });
  }

  putRecurring(recurring: NewRecurring): Promise<void> {
    return this.#flushed((tables) => {
      const { content, body, nextAtMs, ...rest } = recurring;
      const old = tables.recurring.get([archivedName(rest.caller), rest.name]);
      const row: RecurringRow = { ...rest, revision: (old?.revision ?? 0) + 1, missed: 0 };
      tables.putRecurring(nextAtMs === undefined ? row : { ...row, nextAtMs }, { content, body });
    });
  }

  async getRecurring(caller: string, name: string): ReturnType<Schedules['getRecurring']> {
    const tables = this.#fresh();
    const row = tables.recurring.get([archivedName(caller), name]);
    return row && { ...recurringOf(tables, row), body: tables.recurringBody(caller, name).body };
  }

  deleteRecurring(caller: string, name: string): Promise<boolean> {
    return this.#flushed((tables) => {
      const row = tables.recurring.get([archivedName(caller), name]);
      if (row) tables.removeRecurring(row);
      return row !== undefined;
    });
  }

  async listRecurring(
    caller: string,
    after: string | undefined,
    limit: number,
  ): ReturnType<Schedules['listRecurring']> {
    const tables = this.#fresh();
    const name = archivedName(caller);
    const rows = [
      ...tables.recurring.getRange({
        start: after === undefined ? [name] : [name, after],
        exclusiveStart: true,
        limit: limit + 1,
      }),
    ]
      // Behind the caller's are the next one's.
      .filter(({ key }) => key[0] === name)
      .map(({ value }) => recurringOf(tables, value));
    return { rows: rows.slice(0, limit), more: rows.length > limit };
  }

  async dueRecurring(limit: number): ReturnType<Schedules['dueRecurring']> {
    const tables = this.#fresh();
    const nowMs = this.#clock.now();
    const keys = [...tables.recurringDue.getKeys({ end: [nowMs + 1], limit })];
    const due = keys.flatMap(([, caller, name]) => {
      const row = tables.recurring.get([caller!, name!]);
      return row ? [recurringOf(tables, row)] : [];
    });
    return { nowMs, due };
  }

  advance(advance: Advance): ReturnType<Schedules['advance']> {
    const { caller, name, revision, dueAtMs, expireAtMs, nextAtMs, missed } = advance;
    return this.#flushed((tables, nowMs) => {
      const old = tables.recurring.get([archivedName(caller), name]);
      if (old?.revision !== revision) return false;
      const { nextAtMs: _, ...rest } = old;
      const row = { ...rest, revision: revision + 1, lastAtMs: dueAtMs, missed: old.missed + missed };
      tables.putRecurring(nextAtMs === undefined ? row : { ...row, nextAtMs });
      const id = occurrenceId(name, dueAtMs);
      if (tables.byId(caller, id)) return 'taken';
      const { content, body } = tables.recurringBody(caller, name);
      const { digest } = old;
      const put = { kind: 'push', caller, id, digest, acceptedAtMs: nowMs, expireAtMs, dueAtMs } as const;
      putRow(tables, { ...put, content, body }, nowMs);
      const occurrence = tables.byId(caller, id);
      if (occurrence) tables.change(occurrence, { recurring: name });
      return true;
    });
  }

  async #flushed<Result>(change: (tables: ScheduleTables, nowMs: number) => Result): Promise<Result> {
    const result = await this.#write(change);
    await this.#database?.flushed();
    return result;
  }

  async #write<Result>(change: (tables: ScheduleTables, nowMs: number) => Result): Promise<Result> {
    const tables = this.#open();
    try {
      return await tables.transaction(() => change(tables, this.#clock.now()));
    } catch (error) {
      throw unavailable(error);
    }
  }

  #fresh(): ScheduleTables {
    const tables = this.#open();
    tables.refresh();
    return tables;
  }

  #open(): ScheduleTables {
    if (!this.#tables) throw unavailable(new Error('The schedules are not open.'));
    return this.#tables;
  }
}

/** With what goes with it: a digest's members; the digest of the last one. */
function cancelRow(tables: ScheduleTables, row: Row, endedAtMs: number): void {
  tables.change(row, { state: 'cancelled', endedAtMs });
  if (row.kind === 'digest') {
    tables.forgetGroup(row);
    for (const member of tables.membersOf(row.seq))
      if (member.state === 'waiting') tables.change(member, { state: 'cancelled', endedAtMs });
  }
  const digest = row.digestSeq === undefined ? undefined : tables.row(row.digestSeq);
  if (!digest) return;
  const left = { ...digest, members: digest.members - 1, bytes: digest.bytes - row.bytes - 1 };
  tables.change(digest, left);
  if (left.members === 0) cancelRow(tables, left, endedAtMs);
}

function fire(tables: ScheduleTables, row: Row, nowMs: number): LeasedSchedule {
  const kept = row.firedAtMs !== undefined && row.firedAtMs > nowMs - REFRESH_FIRED_MS;
  const firedAtMs = kept ? row.firedAtMs! : nowMs;
  if (!kept) tables.change(row, { state: 'firing', firedAtMs });
  const { seq, caller, id, dueAtMs, expireAtMs, kind } = row;
  for (const member of kind === 'digest' ? tables.membersOf(seq) : [])
    if (member.state === 'waiting') tables.change(member, { state: 'firing', firedAtMs: nowMs });
  const members = tables
    .membersOf(seq)
    .filter(({ state }) => state === 'firing')
    .map((member) => ({
      id: member.id,
      acceptedAtMs: member.acceptedAtMs,
      item: tables.blobs(member.seq).body,
    }));
  const fields = { seq, caller, id, dueAtMs, expireAtMs, firedAtMs };
  return {
    ...fields,
    again: row.state === 'firing',
    ...tables.blobs(seq),
    members: kind === 'digest' ? members : undefined,
  };
}

function scheduleOf(tables: ScheduleTables, row: Row): Schedule {
  const { seq: _seq, digestSeq: _digestSeq, bytes: _bytes, group: _group, ...rest } = row;
  const { firedAtMs, endedAtMs, digestId, recurring } = row;
  return { ...rest, firedAtMs, endedAtMs, digestId, recurring, content: tables.blobs(row.seq).content };
}

function recurringOf(tables: ScheduleTables, row: RecurringRow): Recurring {
  const { content } = tables.recurringBody(row.caller, row.name);
  return { ...row, nextAtMs: row.nextAtMs, lastAtMs: row.lastAtMs, content, body: Buffer.alloc(0) };
}

function unavailable(cause: unknown): HalleyError {
  return new HalleyError('store_unavailable', 'The schedules could not be reached. Repeat.', { cause });
}
