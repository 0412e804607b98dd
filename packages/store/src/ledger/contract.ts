import { randomFillSync } from 'node:crypto';

import type { ConnectionKey } from '@halley/protocol/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import type { Ledger, LedgerRow } from './ledger.js';

export interface LedgerHarness {
  /** Started, on nothing but what the suite writes. */
  readonly ledger: Ledger;
  close(): Promise<void>;
}

let pushes = 0;

/** A row; whatever is not said has some value. */
export function ledgerRow(id: string, fields: Partial<LedgerRow> = {}): LedgerRow {
  const { atMs = 1_000, ...others } = fields;
  return {
    rowId: rowIdAt(atMs),
    id,
    caller: 'orders',
    kind: 'dropped',
    reason: 'room_slow',
    tier: 'comet',
    node: 'comet-1',
    atMs,
    lastAtMs: atMs,
    stream: '',
    keys: [],
    count: 1,
    ...others,
  };
}

/** As a UUIDv7: the time, then anything. */
function rowIdAt(atMs: number): Buffer {
  const rowId = randomFillSync(Buffer.alloc(16));
  rowId.writeUIntBE(atMs, 0, 6);
  return rowId;
}

/** What every ledger does. */
export function ledgerContract(adapter: string, makeHarness: () => Promise<LedgerHarness>): void {
  describe(`the ledger on ${adapter}`, () => {
    let harness: LedgerHarness;
    const name = (): string => `push ${(pushes += 1)}`;
    const find = async (caller: string, id: string, max = 10) => {
      const { rows, all } = await harness.ledger.find(caller, id, max);
      return { rows: rows.map((row) => ({ ...row, rowId: [...row.rowId] })), all };
    };
    const asFound = (row: LedgerRow) => ({ ...row, rowId: [...row.rowId] });

    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.close());

    test('answers the rows of a push as they were written, the oldest first', async () => {
      const id = name();
      const rows = [
        ledgerRow(id, { atMs: 2_000, lastAtMs: 9_000, stream: 'u/1', position: 2 ** 53 - 1, count: 2 ** 40 }),
        ledgerRow(id, { kind: 'expired', keys: ['web', 'ü"\t😀'] as ConnectionKey[], position: 0 }),
      ];
      await harness.ledger.write(rows);
      await harness.ledger.write([ledgerRow(name())]);
      expect(await find('orders', id)).toEqual({ rows: [rows[1]!, rows[0]!].map(asFound), all: 2 });
      expect(await find('orders', id, 1)).toEqual({ rows: [asFound(rows[1]!)], all: 2 });
      expect(await find('orders', `${id} `)).toEqual({ rows: [], all: 0 });
      expect(await find('orders', id.toUpperCase())).toEqual({ rows: [], all: 0 });
    });

    test('writes a row once, however often it comes', async () => {
      const row = ledgerRow(name());
      await harness.ledger.write([row, row]);
      await harness.ledger.write([row, ledgerRow(row.id, { atMs: 5_000 })]);
      expect((await find('orders', row.id)).all).toBe(2);
    });

    test('tells callers apart', async () => {
      const id = name();
      await harness.ledger.write([
        ledgerRow(id, { caller: '' }),
        ledgerRow(id, { atMs: 1_001, reason: 'backlog' }),
      ]);
      expect((await find('orders', id)).rows.map(({ reason }) => reason)).toEqual(['backlog']);
      expect((await find('', id)).rows.map(({ reason }) => reason)).toEqual(['room_slow']);
      expect((await find('other', id)).all).toBe(0);
    });

    test('knows how many reports were lost since a time', async () => {
      const lost = (atMs: number, lastAtMs: number, count: number) =>
        ledgerRow('', { kind: 'lost', reason: '', caller: '', atMs, lastAtMs, count });
      const before = await harness.ledger.lostSince(50_000);
      await harness.ledger.write([
        lost(50_000, 60_000, 7),
        lost(40_000, 49_999, 100),
        lost(70_000, 70_000, 1),
      ]);
      expect((await harness.ledger.lostSince(50_000)) - before).toBe(8);
      expect((await harness.ledger.lostSince(70_000)) - before).toBe(1);
      expect((await find('', '')).all).toBe(0);
    });

    test('lets the old go, and the oldest of too many', async () => {
      const all = { sinceMs: 0, maxRows: 1_000_000 };
      const retain = async (retention: { sinceMs?: number; maxRows?: number }): Promise<void> => {
        // What is too many is not counted with each call.
        for (let call = 0; call < 11; call += 1) await harness.ledger.retain({ ...all, ...retention });
      };
      const [old, young, younger] = [name(), name(), name()];
      await harness.ledger.write([
        ledgerRow(old, { atMs: 100_000 }),
        ledgerRow(young, { atMs: 200_000 }),
        ledgerRow(younger, { atMs: 300_000, lastAtMs: 400_000 }),
      ]);
      await retain({ sinceMs: 150_000 });
      expect((await find('orders', old)).all).toBe(0);
      expect((await find('orders', young)).all).toBe(1);
      await retain({ maxRows: 1 });
      expect((await find('orders', young)).all).toBe(0);
      expect((await find('orders', younger)).all).toBe(1);
      await retain({});
      expect((await find('orders', younger)).all).toBe(1);
    });
  });
}
