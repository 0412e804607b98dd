import { HalleyError } from '@halley/protocol/error';
import type { Database } from 'lmdb';

import { openEmbeddedDatabase, type EmbeddedDatabase, type EmbeddedKey } from '../embedded-database.js';
import { idKeyOf } from '../streams/append-plan.js';
import type { Ledger, LedgerRetention, LedgerRow } from './ledger.js';

export interface EmbeddedLedgerDeps {
  /** An existing folder; the ledger is in its `halley.mdb`. */
  readonly dataDir: string;
}

type StoredRow = Omit<LedgerRow, 'rowId'>;

interface Tables {
  /** (row id in hex): they sort by time */
  readonly rows: Database<StoredRow, EmbeddedKey>;
  /** (hash of the push's id, row id) of each row of a push */
  readonly byPush: Database<1, EmbeddedKey>;
}

/** Rows that one call of retain removes. */
const ROWS_A_CALL = 5_000;
const LOST = 'lost';

/** The ledger in the file of the data folder, for one process: tables `ledger-rows` and `ledger-pushes`. */
export class EmbeddedLedger implements Ledger {
  readonly name = 'ledger (embedded)';
  #database: EmbeddedDatabase | undefined;
  #tables: Tables | undefined;

  constructor(private readonly deps: EmbeddedLedgerDeps) {}

  async start(): Promise<void> {
    this.#database = await openEmbeddedDatabase(this.deps.dataDir);
    this.#tables = {
      rows: this.#database.table('ledger-rows'),
      byPush: this.#database.table('ledger-pushes'),
    };
  }

  async stop(): Promise<void> {
    this.#tables = undefined;
    await this.#database?.release();
    this.#database = undefined;
  }

  async write(rows: readonly LedgerRow[]): Promise<void> {
    const tables = this.#open();
    try {
      await tables.rows.transaction(() => {
        for (const { rowId, ...row } of rows) {
          const name = nameOf(rowId);
          if (tables.rows.doesExist([name])) continue;
          void tables.rows.put([name], { ...row, keys: [...row.keys] });
          void tables.byPush.put([pushKey(row), name], 1);
        }
      });
    } catch (error) {
      throw unavailable(error);
    }
  }

  async find(caller: string, id: string, max: number) {
    const tables = this.#fresh();
    const found = [...rowsOf(tables, hashOf(caller, id))];
    found.sort((one, other) => one.atMs - other.atMs || compare(one.rowId, other.rowId));
    return { rows: found.slice(0, max), all: found.length };
  }

  async lostSince(sinceMs: number): Promise<number> {
    let lost = 0;
    for (const row of rowsOf(this.#fresh(), LOST)) if (row.lastAtMs >= sinceMs) lost += row.count;
    return lost;
  }

  async retain({ sinceMs, maxRows }: LedgerRetention): Promise<number> {
    const tables = this.#fresh();
    let surplus = tables.rows.getKeysCount() - maxRows;
    const going: [key: EmbeddedKey, row: StoredRow][] = [];
    for (const { key, value } of tables.rows.getRange({ limit: ROWS_A_CALL })) {
      if (surplus <= 0 && value.lastAtMs >= sinceMs) break;
      going.push([key, value]);
      surplus -= 1;
    }
    if (going.length === 0) return 0;
    try {
      await tables.rows.transaction(() => {
        for (const [key, row] of going) {
          void tables.rows.remove(key);
          void tables.byPush.remove([pushKey(row), ...key]);
        }
      });
    } catch (error) {
      throw unavailable(error);
    }
    return going.length;
  }

  #fresh(): Tables {
    const tables = this.#open();
    tables.rows.resetReadTxn();
    return tables;
  }

  #open(): Tables {
    if (!this.#tables) throw unavailable(new Error('The ledger is not open.'));
    return this.#tables;
  }
}

function* rowsOf({ rows, byPush }: Tables, push: string): Generator<LedgerRow> {
  for (const key of byPush.getKeys({ start: [push, ''] })) {
    if (key[0] !== push) return;
    const name = String(key[1]);
    const row = rows.get([name]);
    if (row) yield { ...row, rowId: Buffer.from(name, 'hex') };
  }
}

function nameOf(rowId: Uint8Array): string {
  return Buffer.from(rowId).toString('hex');
}

function pushKey({ kind, caller, id }: StoredRow): string {
  return kind === 'lost' ? LOST : hashOf(caller, id);
}

/** Ids are of any length. */
function hashOf(caller: string, id: string): string {
  return idKeyOf(caller, id);
}

function compare(one: Uint8Array, other: Uint8Array): number {
  return Buffer.compare(one, other);
}

function unavailable(cause: unknown): HalleyError {
  return new HalleyError('store_unavailable', 'The ledger could not be reached. Repeat.', { cause });
}
