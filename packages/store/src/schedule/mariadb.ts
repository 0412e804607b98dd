import { HalleyError } from '@halley/protocol/error';
import { sql } from 'kysely';

import type { ArchiveDatabase } from '../archive/mariadb/database.js';
import { cancelRow } from './mariadb/cancel.js';
import { dueLanes, finishRows, leaseLanes, renewLanes, retainRows } from './mariadb/lease.js';
import { getRow, listRows } from './mariadb/list.js';
import { putRows } from './mariadb/put.js';
import {
  advanceRow,
  deleteRecurringRow,
  dueRecurringRows,
  getRecurringRow,
  listRecurringRows,
  putRecurringRow,
} from './mariadb/recurring.js';
import { queriesOf, type Queries, type Writing } from './mariadb/tables.js';
import type { Advance, NewRecurring } from './recurring.js';
import type {
  FinishedSchedule,
  LeaseLimits,
  ListQuery,
  NewSchedule,
  PutAnswer,
  Schedules,
} from './schedules.js';

export interface MariadbSchedulesDeps {
  /** The archive's, which starts and stops it. */
  readonly database: ArchiveDatabase;
  /** For tests: added to the database's clock, milliseconds. */
  readonly clockOffsetMs?: () => number;
}

/** Somebody else put one of the same rows at the same time. */
const DUPLICATE = 1062;
const PUT_ATTEMPTS = 5;

/** Schedules in the archive's database, for any number of nodes. Its clock decides what is due. */
export class MariadbSchedules implements Schedules {
  readonly name = 'schedules (MariaDB)';

  constructor(private readonly deps: MariadbSchedulesDeps) {}

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  healthy(): boolean {
    return this.deps.database.healthy();
  }

  async put(rows: readonly NewSchedule[]): Promise<readonly PutAnswer[]> {
    for (let attempt = 1; ; attempt += 1) {
      // What fails before the commit is sent is not done.
      let committing = false;
      try {
        return await this.#write(async (db) => {
          committing = false;
          const answers = await putRows(db, rows, await this.#now(db));
          committing = true;
          return answers;
        });
      } catch (error) {
        if (committing) throw new HalleyError('schedule_unknown', undefined, { cause: error });
        if (!isDuplicate(error) || attempt === PUT_ATTEMPTS) throw error;
      }
    }
  }

  cancel(caller: string, id: string): Promise<'cancelled' | 'too_late' | 'not_found'> {
    return this.#write(async (db) => cancelRow(db, caller, id, await this.#now(db)));
  }

  get(caller: string, id: string): ReturnType<Schedules['get']> {
    return this.#read((db) => getRow(db, caller, id));
  }

  list(query: ListQuery): ReturnType<Schedules['list']> {
    return this.#read((db) => listRows(db, query));
  }

  async next(): ReturnType<Schedules['next']> {
    const row = await this.#read((db) =>
      db
        .selectNoFrom((eb) => [
          this.#clock().as('now'),
          eb
            .selectFrom('schedules')
            .select(({ fn }) => fn.min('queued_at_ms').as('at'))
            .as('schedule'),
          eb
            .selectFrom('schedule_recurring')
            .select(({ fn }) => fn.min('next_at_ms').as('at'))
            .as('recurring'),
        ])
        .executeTakeFirstOrThrow(),
    );
    return {
      nowMs: Number(row.now),
      scheduleAtMs: row.schedule ?? undefined,
      recurringAtMs: row.recurring ?? undefined,
    };
  }

  async lease(owner: string, limits: LeaseLimits): ReturnType<Schedules['lease']> {
    const nowMs = await this.#read((db) => this.#now(db));
    const lanes = await this.#read((db) => dueLanes(db, owner, nowMs));
    if (lanes.length === 0) return { nowMs, rows: [] };
    return this.#write(async (db) => {
      // Anew: the transaction may be a repeated one.
      const nowMs = await this.#now(db);
      return { nowMs, rows: await leaseLanes(db, lanes, owner, limits, nowMs) };
    });
  }

  renew(owner: string, leaseMs: number): Promise<void> {
    return this.#read(async (db) => renewLanes(db, owner, (await this.#now(db)) + leaseMs));
  }

  finish(owner: string, ended: readonly FinishedSchedule[]): Promise<void> {
    return this.#write(async (db) => finishRows(db, owner, ended, await this.#now(db)));
  }

  retain(keepMs: number): Promise<number> {
    return this.#read(async (db) => retainRows(db, (await this.#now(db)) - keepMs));
  }

  putRecurring(recurring: NewRecurring): Promise<void> {
    return this.#read((db) => putRecurringRow(db, recurring));
  }

  getRecurring(caller: string, name: string): ReturnType<Schedules['getRecurring']> {
    return this.#read((db) => getRecurringRow(db, caller, name));
  }

  deleteRecurring(caller: string, name: string): Promise<boolean> {
    return this.#read((db) => deleteRecurringRow(db, caller, name));
  }

  listRecurring(
    caller: string,
    after: string | undefined,
    limit: number,
  ): ReturnType<Schedules['listRecurring']> {
    return this.#read((db) => listRecurringRows(db, caller, after, limit));
  }

  dueRecurring(limit: number): ReturnType<Schedules['dueRecurring']> {
    return this.#read(async (db) => {
      const nowMs = await this.#now(db);
      return { nowMs, due: await dueRecurringRows(db, nowMs, limit) };
    });
  }

  advance(advance: Advance): ReturnType<Schedules['advance']> {
    return this.#write(async (db) => advanceRow(db, advance, await this.#now(db)));
  }

  /** One statement each. */
  #read<Result>(work: (db: Queries) => Promise<Result>): Promise<Result> {
    return this.deps.database.read((db) => work(queriesOf(db)));
  }

  #write<Result>(work: (db: Writing) => Promise<Result>): Promise<Result> {
    return this.deps.database.write((db) => work(db as unknown as Writing));
  }

  /** In UTC, whatever the session's time zone: others have an hour twice. */
  #clock() {
    const offsetMs = this.deps.clockOffsetMs?.() ?? 0;
    return sql<number>`TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000 + ${offsetMs}`;
  }

  async #now(db: Queries | Writing): Promise<number> {
    const { now } = await db.selectNoFrom(this.#clock().as('now')).executeTakeFirstOrThrow();
    return Number(now);
  }
}

function isDuplicate(error: unknown): boolean {
  const { cause } = error as { readonly cause?: { readonly errno?: number } };
  return cause?.errno === DUPLICATE;
}
