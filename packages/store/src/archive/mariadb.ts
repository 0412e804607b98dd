import type { Logger } from '@halley/service/log';

import { BEFORE_ALL, type Position } from '../streams/streams.js';
import type {
  Archive,
  ArchivedEntry,
  ArchivePage,
  CountQuery,
  FoundEntry,
  HistoryQuery,
  Retention,
  StoreBatch,
} from './archive.js';
import type { ArchiveConfig } from './config.js';
import { ArchiveDatabase } from './mariadb/database.js';
import { BLANKED_A_TRANSACTION, blankBodies, findEnded } from './mariadb/blank.js';
import { findEntries } from './mariadb/find.js';
import { countOthers, readCollapsed, readHistory, readPage } from './mariadb/read.js';
import { findDue, retainStreams, type StreamKey } from './mariadb/retain.js';
import { storeBatches } from './mariadb/store.js';
import { bytesOf } from './mariadb/tables.js';
import { BODIES_A_CALL, ROWS_A_CALL } from './retention.js';

export interface MariadbArchiveDeps {
  readonly config: ArchiveConfig;
  readonly log: Logger;
}

/** Streams whose retention shares a transaction, and so a flush of the database. */
const STREAMS_A_TRANSACTION = 10;

/**
 * The archive in MariaDB or MySQL, for any number of nodes. Its tables are made and changed when it starts. A write that
 * fails may have been carried out: the watermark tells.
 */
export class MariadbArchive implements Archive {
  readonly name = 'archive (MariaDB)';
  /** Others that keep something beside the archive use its connections. */
  readonly database: ArchiveDatabase;
  /** The last stream that retention looked at; undefined before the first. */
  #retained: StreamKey | undefined;

  constructor({ config, log }: MariadbArchiveDeps) {
    this.database = new ArchiveDatabase(config, log);
  }

  start(): Promise<void> {
    return this.database.start();
  }

  stop(deadlineMs: number): Promise<void> {
    return this.database.stop(deadlineMs);
  }

  healthy(): boolean {
    return this.database.healthy();
  }

  async watermark(shard: number, epoch: string): Promise<Position> {
    return (await this.watermarks([shard], epoch)).get(shard)!;
  }

  async watermarks(shards: readonly number[], epoch: string): Promise<ReadonlyMap<number, Position>> {
    if (shards.length === 0) return new Map();
    const rows = await this.database.read((db) =>
      db
        .selectFrom('archive_watermarks')
        .select(['shard', 'position'])
        .where('epoch', '=', bytesOf(epoch))
        .where('shard', 'in', shards)
        .execute(),
    );
    const known = new Map(rows.map(({ shard, position }) => [shard, position]));
    return new Map(shards.map((shard) => [shard, known.get(shard) ?? BEFORE_ALL]));
  }

  async store(epoch: string, batches: readonly StoreBatch[]): Promise<readonly boolean[]> {
    if (batches.length === 0) return [];
    return this.database.write((db) => storeBatches(db, epoch, batches));
  }

  read(epoch: string, query: Parameters<Archive['read']>[1]): Promise<ArchivePage> {
    return this.database.snapshot((db) => readPage(db, epoch, query));
  }

  history(
    epoch: string,
    query: HistoryQuery,
  ): Promise<{ readonly entries: readonly ArchivedEntry[]; readonly more: boolean }> {
    return this.database.snapshot((db) => readHistory(db, epoch, query));
  }

  find(caller: string, id: string, max: number): Promise<readonly FoundEntry[]> {
    return this.database.read((db) => findEntries(db, caller, id, max));
  }

  collapsed(epoch: string, stream: string, ids: readonly string[]): Promise<ReadonlyMap<string, Position>> {
    return this.database.read((db) => readCollapsed(db, epoch, stream, ids));
  }

  count(epoch: string, query: CountQuery): Promise<number> {
    return this.database.read((db) => countOthers(db, epoch, query));
  }

  async retain(retention: Retention): Promise<number> {
    const { due, next } = await this.database.read((db) => findDue(db, this.#retained, retention));
    let gone = 0;
    for (let at = 0; at < due.length; at += STREAMS_A_TRANSACTION) {
      const keys = due.slice(at, at + STREAMS_A_TRANSACTION);
      gone += await this.database.write((db) => retainStreams(db, keys, retention));
      this.#retained = keys.at(-1);
      if (gone >= ROWS_A_CALL) return gone;
    }
    this.#retained = next;
    return gone;
  }

  async blank(beforeMs: number): Promise<number> {
    let blanked = 0;
    for (let looked = 0; looked < BODIES_A_CALL; looked += BLANKED_A_TRANSACTION) {
      const ended = await this.database.read((db) => findEnded(db, beforeMs));
      if (ended.length === 0) break;
      blanked += await this.database.write((db) => blankBodies(db, ended));
      if (ended.length < BLANKED_A_TRANSACTION) break;
    }
    return blanked;
  }
}
