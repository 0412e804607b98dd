import { createHash } from 'node:crypto';

import type { ArchiveDatabase } from '../archive/mariadb/database.js';
import { bytesOf, type DeadLetterRow } from '../archive/mariadb/tables.js';
import type {
  DeadLetter,
  DeadLetterClaim,
  DeadLetterHead,
  DeadLetterId,
  DeadLetterPage,
  DeadLetterQuery,
  DeadLetterStore,
  NewDeadLetter,
} from './dead.js';

export interface MariadbDeadLettersDeps {
  /** The archive's, which starts and stops it. */
  readonly database: ArchiveDatabase;
}

const HEAD = [
  'id',
  'at_ms',
  'topic',
  'from_partition',
  'from_offset',
  'reason',
  'detail',
  'value_bytes',
  'is_cut',
  'requeued_at_ms',
] as const;
/** Letters are up to a megabyte, and twice as much in a statement. */
const BYTES_A_STATEMENT = 2 * 1_048_576;
const ROWS_A_RETAIN = 1_000;

/** Dead letters in the archive's database, for any number of nodes, in the table `dead_letters`. */
export class MariadbDeadLetters implements DeadLetterStore {
  readonly name = 'dead letters (MariaDB)';

  constructor(private readonly deps: MariadbDeadLettersDeps) {}

  async start(): Promise<void> {}
  async stop(): Promise<void> {}

  async add(epoch: string, letters: readonly NewDeadLetter[]): Promise<void> {
    for (let at = 0; at < letters.length;) {
      const rows: Omit<DeadLetterRow, 'id'>[] = [];
      let bytes = 0;
      for (; at < letters.length && (rows.length === 0 || bytes < BYTES_A_STATEMENT); at += 1) {
        const letter = letters[at]!;
        bytes += letter.value.byteLength;
        rows.push(rowOf(epoch, letter));
      }
      await this.deps.database.write((db) => db.insertInto('dead_letters').ignore().values(rows).execute());
    }
  }

  async list({ before, topic, reason, maxLetters }: DeadLetterQuery): Promise<DeadLetterPage> {
    const rows = await this.deps.database.read((db) => {
      let select = db.selectFrom('dead_letters').select(HEAD);
      if (before !== undefined) select = select.where('id', '<', Number(before));
      if (topic !== undefined) select = select.where('topic', '=', topic);
      if (reason !== undefined) select = select.where('reason', '=', reason);
      return select
        .orderBy('id', 'desc')
        .limit(maxLetters + 1)
        .execute();
    });
    return { letters: rows.slice(0, maxLetters).map(headOf), more: rows.length > maxLetters };
  }

  async get(id: DeadLetterId): Promise<DeadLetter | undefined> {
    const row = await this.deps.database.read((db) =>
      db.selectFrom('dead_letters').selectAll().where('id', '=', Number(id)).executeTakeFirst(),
    );
    return row && letterOf(row);
  }

  claim(id: DeadLetterId, atMs: number, again: boolean): Promise<DeadLetterClaim> {
    return this.deps.database.write(async (db) => {
      const row = await db
        .selectFrom('dead_letters')
        .selectAll()
        .where('id', '=', Number(id))
        .forUpdate()
        .executeTakeFirst();
      if (!row) return { outcome: 'absent' };
      if (row.requeued_at_ms > 0 && !again) return { outcome: 'requeued', atMs: row.requeued_at_ms };
      await db
        .updateTable('dead_letters')
        .set({ requeued_at_ms: atMs })
        .where('id', '=', Number(id))
        .execute();
      return { outcome: 'claimed', letter: letterOf({ ...row, requeued_at_ms: atMs }) };
    });
  }

  async unclaim(id: DeadLetterId, atMs: number): Promise<void> {
    await this.deps.database.write((db) =>
      db
        .updateTable('dead_letters')
        .set({ requeued_at_ms: 0 })
        .where('id', '=', Number(id))
        .where('requeued_at_ms', '=', atMs)
        .execute(),
    );
  }

  async retain({ sinceMs, maxLetters }: { sinceMs: number; maxLetters: number }): Promise<number> {
    let gone = 0;
    for (let last = ROWS_A_RETAIN; last >= ROWS_A_RETAIN; gone += last) {
      last = await this.deps.database.write(async (db) => {
        const newestGoing = await db
          .selectFrom('dead_letters')
          .select('id')
          .orderBy('id', 'desc')
          .offset(maxLetters)
          .limit(1)
          .executeTakeFirst();
        const { numDeletedRows } = await db
          .deleteFrom('dead_letters')
          .where((eb) => eb.or([eb('id', '<=', newestGoing?.id ?? 0), eb('at_ms', '<', sinceMs)]))
          .orderBy('id')
          .limit(ROWS_A_RETAIN)
          .executeTakeFirstOrThrow();
        return Number(numDeletedRows);
      });
    }
    return gone;
  }
}

function rowOf(epoch: string, { place, ...letter }: NewDeadLetter): Omit<DeadLetterRow, 'id'> {
  return {
    epoch: bytesOf(epoch),
    dead_partition: place.partition,
    dead_offset: place.offset,
    at_ms: letter.atMs,
    topic: letter.topic,
    from_partition: letter.partition,
    from_offset: letter.offset,
    reason: letter.reason,
    detail: letter.detail,
    record_key: letter.key,
    headers: JSON.stringify(letter.headers),
    value: Buffer.from(letter.value),
    value_bytes: letter.valueBytes,
    is_cut: letter.cut ? 1 : 0,
    requeued_at_ms: 0,
    source: sourceOf(letter),
  };
}

/** 32 bytes that stand for where the record was; null where nobody says. */
function sourceOf({ topic, partition, offset }: Omit<NewDeadLetter, 'place'>): Buffer | null {
  if (topic === '') return null;
  return createHash('sha256').update(`${partition} ${offset} ${topic}`).digest();
}

function headOf(row: Pick<DeadLetterRow, (typeof HEAD)[number]>): DeadLetterHead {
  return {
    id: String(row.id),
    atMs: row.at_ms,
    topic: row.topic,
    partition: row.from_partition,
    offset: row.from_offset,
    reason: row.reason,
    detail: row.detail,
    valueBytes: row.value_bytes,
    cut: row.is_cut !== 0,
    requeuedAtMs: row.requeued_at_ms,
  };
}

function letterOf(row: DeadLetterRow): DeadLetter {
  const headers = JSON.parse(row.headers) as Record<string, string>;
  return { ...headOf(row), key: row.record_key, headers, value: row.value };
}
