import type { ConnectionKey } from '@halley/protocol/ids';
import { sql } from 'kysely';

import type { ArchiveDatabase } from '../archive/mariadb/database.js';
import { bytesOf, type ArchiveTables, type Queries } from '../archive/mariadb/tables.js';
import { archivedName } from '../archive/stream-name.js';
import type { Ledger, LedgerRetention, LedgerRow } from './ledger.js';

export interface MariadbLedgerDeps {
  /** The archive's, which starts and stops it. */
  readonly database: ArchiveDatabase;
}

type Row = ArchiveTables['ledger_exceptions'];

const ROWS_A_STATEMENT = 500;
/** Rows that one call of retain removes. */
const ROWS_A_CALL = 5_000;
/** To count is to read the index: it is not done with each call. */
const COUNT_EVERY_CALLS = 10;
/** Bytes, or characters, of the columns. */
const MAX_NAME = 512;
const MAX_REASON = 64;
const MAX_NODE = 255;

/** The ledger in the archive's database, for any number of nodes, in the table `ledger_exceptions`. */
export class MariadbLedger implements Ledger {
  readonly name = 'ledger (MariaDB)';
  #calls = 0;

  constructor(private readonly deps: MariadbLedgerDeps) {}

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async write(rows: readonly LedgerRow[]): Promise<void> {
    const stored = rows.map(storedOf);
    for (let at = 0; at < stored.length; at += ROWS_A_STATEMENT) {
      const values = stored.slice(at, at + ROWS_A_STATEMENT);
      await this.deps.database.write((db) =>
        db
          .insertInto('ledger_exceptions')
          .values(values)
          .onDuplicateKeyUpdate({ row_id: sql`VALUES(row_id)` })
          .execute(),
      );
    }
  }

  async find(caller: string, id: string, max: number) {
    const of = (db: Queries) =>
      db
        .selectFrom('ledger_exceptions')
        .where('push_id', '=', bytesOf(id))
        .where('caller', '=', bytesOf(caller))
        .where('kind', '!=', 'lost');
    return this.deps.database.snapshot(async (db) => {
      const rows = await of(db).selectAll().orderBy('at_ms').orderBy('row_id').limit(max).execute();
      if (rows.length < max) return { rows: rows.map(rowOf), all: rows.length };
      const { all } = await of(db)
        .select((eb) => eb.fn.countAll<number>().as('all'))
        .executeTakeFirstOrThrow();
      return { rows: rows.map(rowOf), all: Number(all) };
    });
  }

  async lostSince(sinceMs: number): Promise<number> {
    const row = await this.deps.database.read((db) =>
      db
        .selectFrom('ledger_exceptions')
        .select((eb) => eb.fn.sum<string | null>('count').as('lost'))
        .where('push_id', '=', bytesOf(''))
        .where('kind', '=', 'lost')
        .where('last_at_ms', '>=', sinceMs)
        .executeTakeFirst(),
    );
    return Number(row?.lost ?? 0);
  }

  async retain({ sinceMs, maxRows }: LedgerRetention): Promise<number> {
    const { database } = this.deps;
    this.#calls += 1;
    let surplus = 0;
    if (this.#calls % COUNT_EVERY_CALLS === 1) {
      const { rows } = await database.read((db) =>
        db
          .selectFrom('ledger_exceptions')
          .select((eb) => eb.fn.countAll<number>().as('rows'))
          .executeTakeFirstOrThrow(),
      );
      surplus = Math.min(ROWS_A_CALL, Number(rows) - maxRows);
    }
    return database.write(async (db) => {
      const old = await db
        .deleteFrom('ledger_exceptions')
        .where('last_at_ms', '<', sinceMs)
        .orderBy('last_at_ms')
        .limit(ROWS_A_CALL)
        .executeTakeFirst();
      const gone = Number(old.numDeletedRows);
      if (surplus <= gone) return gone;
      const oldest = await db
        .deleteFrom('ledger_exceptions')
        .orderBy('row_id')
        .limit(surplus - gone)
        .executeTakeFirst();
      return gone + Number(oldest.numDeletedRows);
    });
  }
}

function storedOf({ rowId, ...row }: LedgerRow): Row {
  return {
    row_id: Buffer.from(rowId),
    push_id: bytesOf(row.id).subarray(0, MAX_NAME),
    caller: bytesOf(row.caller).subarray(0, MAX_NAME),
    kind: row.kind,
    reason: row.reason.slice(0, MAX_REASON),
    tier: row.tier,
    node: row.node.slice(0, MAX_NODE),
    at_ms: row.atMs,
    last_at_ms: row.lastAtMs,
    stream: bytesOf(archivedName(row.stream)),
    position: row.position ?? null,
    device_keys: row.keys.length > 0 ? JSON.stringify(row.keys) : null,
    count: row.count,
  };
}

function rowOf({ row_id: rowId, kind, reason, tier, node, ...row }: Row): LedgerRow {
  return {
    rowId,
    id: row.push_id.toString('utf8'),
    caller: row.caller.toString('utf8'),
    kind: kind as LedgerRow['kind'],
    reason,
    tier: tier as LedgerRow['tier'],
    node,
    atMs: row.at_ms,
    lastAtMs: row.last_at_ms,
    stream: row.stream.toString('utf8'),
    ...(row.position !== null && { position: row.position }),
    keys: row.device_keys === null ? [] : (JSON.parse(row.device_keys) as ConnectionKey[]),
    count: row.count,
  };
}
