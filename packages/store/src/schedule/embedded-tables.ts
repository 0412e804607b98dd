import type { Database } from 'lmdb';

import { archivedName } from '../archive/stream-name.js';
import type { EmbeddedDatabase, EmbeddedKey } from '../embedded-database.js';
import type { Recurring } from './recurring.js';
import type { Schedule, ScheduleState } from './schedules.js';

/** A row as it lies in the file, without content and body. */
export interface Row extends Omit<
  Schedule,
  'content' | 'firedAtMs' | 'endedAtMs' | 'digestId' | 'recurring'
> {
  readonly seq: number;
  readonly firedAtMs?: number;
  readonly endedAtMs?: number;
  readonly digestSeq?: number;
  readonly digestId?: string;
  readonly recurring?: string;
  /** Of a digest. */
  readonly group?: string;
  /** Of content and body; of a digest, of its members, each with a comma. */
  readonly bytes: number;
}

export interface Blobs {
  readonly content: Uint8Array;
  readonly body: Uint8Array;
}

export type RecurringRow = Omit<Recurring, 'content' | 'body' | 'nextAtMs' | 'lastAtMs'> & {
  readonly nextAtMs?: number;
  readonly lastAtMs?: number;
};

/** The tables, and what keeps their indices. All but reading happens in transactions. */
export class ScheduleTables {
  readonly #rows: Database<Row, EmbeddedKey>;
  readonly #blobs: Database<Blobs, EmbeddedKey>;
  /** (caller, id) → seq */
  readonly #ids: Database<number, EmbeddedKey>;
  /** (due, seq) of what is to be fired by itself. */
  readonly queue: Database<1, EmbeddedKey>;
  /** (caller, state, due, seq) */
  readonly times: Database<1, EmbeddedKey>;
  /** (ended, seq) */
  readonly ended: Database<1, EmbeddedKey>;
  /** (digest's seq, seq) */
  readonly #members: Database<1, EmbeddedKey>;
  /** (caller, group) → the digest's seq */
  readonly #groups: Database<number, EmbeddedKey>;
  readonly lease: Database<{ readonly owner: string; readonly untilMs: number }, EmbeddedKey>;
  /** (caller, name) */
  readonly recurring: Database<RecurringRow, EmbeddedKey>;
  readonly #recurringBlobs: Database<Blobs, EmbeddedKey>;
  /** (next, caller, name) */
  readonly recurringDue: Database<1, EmbeddedKey>;

  constructor(database: EmbeddedDatabase) {
    this.#rows = database.table('schedules');
    this.#blobs = database.table('schedule-blobs');
    this.#ids = database.table('schedule-ids');
    this.queue = database.table('schedule-queue');
    this.times = database.table('schedule-times');
    this.ended = database.table('schedule-ended');
    this.#members = database.table('schedule-members');
    this.#groups = database.table('schedule-groups');
    this.lease = database.table('schedule-lease');
    this.recurring = database.table('schedule-recurring');
    this.#recurringBlobs = database.table('schedule-recurring-blobs');
    this.recurringDue = database.table('schedule-recurring-due');
  }

  /** One transaction over all tables: the callback's reads see what it wrote. */
  transaction<Result>(change: () => Result): Promise<Result> {
    return this.#rows.transaction(change);
  }

  /** Reads from now on see what was committed up to now. */
  refresh(): void {
    this.#rows.resetReadTxn();
  }

  row(seq: number): Row | undefined {
    return this.#rows.get([seq]);
  }

  blobs(seq: number): Blobs {
    return this.#blobs.get([seq]) ?? { content: Buffer.alloc(0), body: Buffer.alloc(0) };
  }

  byId(caller: string, id: string): Row | undefined {
    const seq = this.#ids.get([archivedName(caller), id]);
    return seq === undefined ? undefined : this.row(seq);
  }

  /** In the order in which they came. */
  membersOf(digestSeq: number): readonly Row[] {
    return [...this.#members.getKeys({ start: [digestSeq], end: [digestSeq + 1] })].flatMap(
      ([, seq]) => this.row(Number(seq)) ?? [],
    );
  }

  /** Behind every row that is there. */
  nextSeq(): number {
    const [last] = this.#rows.getKeys({ reverse: true, limit: 1 });
    // A key of one element comes back as that.
    return Number([last ?? 0].flat()[0]) + 1;
  }

  add(row: Row, blobs: Blobs): void {
    void this.#blobs.put([row.seq], blobs);
    void this.#ids.put([archivedName(row.caller), row.id], row.seq);
    if (row.digestSeq !== undefined) void this.#members.put([row.digestSeq, row.seq], 1);
    this.#index(row);
  }

  change(row: Row, fields: Partial<Row>): void {
    this.#unindex(row);
    this.#index({ ...row, ...fields });
  }

  remove(row: Row): void {
    this.#unindex(row);
    void this.#rows.remove([row.seq]);
    void this.#blobs.remove([row.seq]);
    void this.#ids.remove([archivedName(row.caller), row.id]);
    if (row.digestSeq !== undefined) void this.#members.remove([row.digestSeq, row.seq]);
  }

  #index(row: Row): void {
    void this.#rows.put([row.seq], row);
    void this.times.put(timeKey(row), 1);
    if (isQueued(row)) void this.queue.put([row.dueAtMs, row.seq], 1);
    if (row.endedAtMs !== undefined) void this.ended.put([row.endedAtMs, row.seq], 1);
  }

  #unindex(row: Row): void {
    void this.times.remove(timeKey(row));
    if (isQueued(row)) void this.queue.remove([row.dueAtMs, row.seq]);
    if (row.endedAtMs !== undefined) void this.ended.remove([row.endedAtMs, row.seq]);
  }

  /** The digest that takes a group's members. */
  openDigest(caller: string, group: string): Row | undefined {
    const seq = this.#groups.get([archivedName(caller), group]);
    return seq === undefined ? undefined : this.row(seq);
  }

  open(caller: string, group: string, digestSeq: number): void {
    void this.#groups.put([archivedName(caller), group], digestSeq);
  }

  /** The group of a digest that takes no more is forgotten, unless it has another by now. */
  forgetGroup({ caller, group, seq }: Row): void {
    if (group === undefined) return;
    const key = [archivedName(caller), group];
    if (this.#groups.get(key) === seq) void this.#groups.remove(key);
  }

  recurringBody(caller: string, name: string): Blobs {
    return (
      this.#recurringBlobs.get([archivedName(caller), name]) ?? {
        content: Buffer.alloc(0),
        body: Buffer.alloc(0),
      }
    );
  }

  putRecurring(row: RecurringRow, blobs?: Blobs): void {
    const key = [archivedName(row.caller), row.name];
    const old = this.recurring.get(key);
    if (old?.nextAtMs !== undefined) void this.recurringDue.remove([old.nextAtMs, ...key]);
    void this.recurring.put(key, row);
    if (blobs) void this.#recurringBlobs.put(key, blobs);
    if (row.nextAtMs !== undefined) void this.recurringDue.put([row.nextAtMs, ...key], 1);
  }

  removeRecurring(row: RecurringRow): void {
    const key = [archivedName(row.caller), row.name];
    if (row.nextAtMs !== undefined) void this.recurringDue.remove([row.nextAtMs, ...key]);
    void this.recurring.remove(key);
    void this.#recurringBlobs.remove(key);
  }
}

function isQueued({ kind, state }: Row): boolean {
  return kind !== 'member' && (state === 'waiting' || state === 'firing');
}

function timeKey({ caller, state, dueAtMs, seq }: Row): EmbeddedKey {
  return [archivedName(caller), state satisfies ScheduleState, dueAtMs, seq];
}
