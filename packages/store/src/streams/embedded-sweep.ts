import type { EmbeddedKey } from '../embedded-database.js';
import type { StreamTables } from './embedded-tables.js';

/** Rows that one sweep looks at, of each table. */
const ROWS_A_SWEEP = 2_000;

/** Where the next sweep goes on. */
export interface SweepPlace {
  /** The last stream and the last cursor that were looked at. */
  readonly newest?: EmbeddedKey | undefined;
  readonly cursors?: EmbeddedKey | undefined;
}

/** Removes ids, newest positions and cursors whose time is over, a bounded amount, within a transaction. */
export function sweep(tables: StreamTables, nowMs: number, place: SweepPlace): SweepPlace {
  const ended = [...tables.idEnds.getKeys({ start: [0], end: [nowMs + 1], limit: ROWS_A_SWEEP })];
  for (const key of ended) {
    void tables.idEnds.remove(key);
    const id: EmbeddedKey = [key[1]!, key[2]!];
    if ((tables.ids.get(id)?.[2] ?? Infinity) <= nowMs) void tables.ids.remove(id);
  }
  return {
    newest: sweepRows(tables.newest, place.newest, ([, , untilMs]) => untilMs <= nowMs),
    cursors: sweepRows(tables.cursors, place.cursors, ({ untilMs }) => untilMs <= nowMs),
  };
}

/** Looks at the rows behind `after`; answers the last one looked at, or undefined at the end of the table. */
function sweepRows<Value>(
  table: {
    getRange(options: {
      start?: EmbeddedKey;
      limit: number;
    }): Iterable<{ readonly key: EmbeddedKey; readonly value: Value }>;
    remove(key: EmbeddedKey): unknown;
  },
  after: EmbeddedKey | undefined,
  isOver: (value: Value) => boolean,
): EmbeddedKey | undefined {
  const rows = [...table.getRange({ ...(after && { start: after }), limit: ROWS_A_SWEEP })];
  for (const { key, value } of rows) if (isOver(value)) void table.remove(key);
  return rows.length < ROWS_A_SWEEP ? undefined : rows.at(-1)!.key;
}
