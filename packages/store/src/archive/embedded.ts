import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';

import { openEmbeddedDatabase, type EmbeddedDatabase, type EmbeddedKey } from '../embedded-database.js';
import { idKeyOf } from '../streams/append-plan.js';
import { collapseIdOf } from '../streams/collapse.js';
import { endingOf } from '../streams/lifetime.js';
import { BEFORE_ALL, type Position } from '../streams/streams.js';
import {
  COUNT_LOOKS,
  type Archive,
  type ArchivedEntry,
  type ArchivePage,
  type CountQuery,
  type FoundEntry,
  type HistoryQuery,
  type Retention,
  type StoreBatch,
} from './archive.js';
import { blankEnded, dropShared, endingKey, type Row, type Tables, tablesOf } from './embedded-tables.js';
import { fitting, HISTORY_MAX_BYTES } from './page.js';
import {
  BODIES_A_CALL,
  ENTRIES_A_STEP,
  isDue,
  NO_ENTRIES,
  retainStep,
  ROWS_A_CALL,
  STREAMS_A_CALL,
  withAppended,
  type AgedEntry,
} from './retention.js';
import { sharedPositions } from './shared-bodies.js';
import { archivedName } from './stream-name.js';

export interface EmbeddedArchiveDeps {
  /** An existing folder; the archive is in its `halley.mdb`. */
  readonly dataDir: string;
}

interface Found extends AgedEntry {
  readonly row: Row;
}

/**
 * The archive in the file of the data folder, for one process. Tables: `archive-entries` (epoch, stream, position),
 * `archive-streams` (epoch, stream), `archive-watermarks` (epoch, shard), `archive-collapses` (epoch, stream, collapse id), `archive-bodies` and `archive-body-users` (epoch,
 * shard, position): a body of several streams, and how many entries have it; `archive-ids`: where the entries of an id are;
 * `archive-endings`: those that are kept for a time of their own.
 */
export class EmbeddedArchive implements Archive {
  readonly name = 'archive (embedded)';
  #database: EmbeddedDatabase | undefined;
  #tables: Tables | undefined;
  /** The last stream that retention looked at; undefined before the first. */
  #retained: EmbeddedKey | undefined;

  constructor(private readonly deps: EmbeddedArchiveDeps) {}

  async start(): Promise<void> {
    const database = await openEmbeddedDatabase(this.deps.dataDir);
    this.#database = database;
    this.#tables = tablesOf(database);
  }

  async stop(): Promise<void> {
    this.#tables = undefined;
    await this.#database?.release();
    this.#database = undefined;
  }

  healthy(): boolean {
    return this.#tables !== undefined;
  }

  async watermark(shard: number, epoch: string): Promise<Position> {
    return this.#fresh().watermarks.get([epoch, shard]) ?? BEFORE_ALL;
  }

  async watermarks(shards: readonly number[], epoch: string): Promise<ReadonlyMap<number, Position>> {
    const { watermarks } = this.#fresh();
    return new Map(shards.map((shard) => [shard, watermarks.get([epoch, shard]) ?? BEFORE_ALL]));
  }

  async store(epoch: string, batches: readonly StoreBatch[]): Promise<readonly boolean[]> {
    const tables = this.#open();
    const stored = await this.#write(tables, () =>
      batches.map((batch) => {
        const key = [epoch, batch.shard];
        if ((tables.watermarks.get(key) ?? BEFORE_ALL) !== batch.from) return false;
        void tables.watermarks.put(key, batch.through);
        append(tables, epoch, batch);
        return true;
      }),
    );
    if (stored.includes(true)) await this.#database?.flushed();
    return stored;
  }

  async read(epoch: string, query: Parameters<Archive['read']>[1]): Promise<ArchivePage> {
    const tables = this.#fresh();
    const stream = archivedName(query.stream);
    const floor = tables.streams.get([epoch, stream])?.floor ?? BEFORE_ALL;
    const rows = range(tables, epoch, stream, {
      after: Math.max(query.after, floor),
      before: query.through + 1,
    });
    const page = fitting(rows, bodyBytes, query.maxEntries, query.maxBytes);
    return { entries: page.rows.map((found) => entryOf(tables, epoch, found)), floor, more: page.more };
  }

  async history(
    epoch: string,
    query: HistoryQuery,
  ): Promise<{ readonly entries: readonly ArchivedEntry[]; readonly more: boolean }> {
    const tables = this.#fresh();
    const { fromMs = 0, toMs = Infinity, maxBytes = HISTORY_MAX_BYTES, nowMs } = query;
    const rows = range(tables, epoch, archivedName(query.stream), {
      after: query.afterPosition,
      before: query.beforePosition,
      backward: query.direction === 'backward',
    }).filter(
      ({ acceptedAtMs, row }) =>
        acceptedAtMs >= fromMs &&
        acceptedAtMs < toMs &&
        (nowMs === undefined || endingOf(row, nowMs) === undefined),
    );
    const page = fitting(rows, bodyBytes, query.maxEntries, maxBytes);
    return { entries: page.rows.map((found) => entryOf(tables, epoch, found)), more: page.more };
  }

  async find(caller: string, id: string, max: number): Promise<readonly FoundEntry[]> {
    const tables = this.#fresh();
    const push = idKeyOf(caller, id);
    const found: FoundEntry[] = [];
    for (const key of tables.byId.getKeys({ start: [push, '', '', 0] })) {
      if (key[0] !== push || found.length === max) break;
      const [, epoch, stream, position] = key as [string, string, string, number];
      const row = tables.entries.get([epoch, stream, position]);
      if (!row) continue;
      const { body: _, shard: __, keys, ...rest } = row;
      found.push({ ...rest, epoch, stream, position, keys: keys as readonly ConnectionKey[] });
    }
    return found.sort((one, other) => compareNames(one.stream, other.stream));
  }

  async collapsed(
    epoch: string,
    stream: string,
    ids: readonly string[],
  ): Promise<ReadonlyMap<string, Position>> {
    const { collapses } = this.#fresh();
    const newest = new Map<string, Position>();
    for (const id of ids) {
      const position = collapses.get([epoch, archivedName(stream), id]);
      if (position !== undefined) newest.set(id, position);
    }
    return newest;
  }

  async count(epoch: string, query: CountQuery): Promise<number> {
    const { after, through, notFrom, nowMs, max } = query;
    const bounds = { after, before: through + 1, limit: COUNT_LOOKS * max };
    let count = 0;
    for (const { row } of range(this.#fresh(), epoch, archivedName(query.stream), bounds)) {
      if (endingOf(row, nowMs) === undefined && row.sender?.mid !== notFrom) count += 1;
      if (count === max) break;
    }
    return count;
  }

  async retain(retention: Retention): Promise<number> {
    const tables = this.#fresh();
    const due: EmbeddedKey[] = [];
    let looked = 0;
    const after = this.#retained;
    let last: EmbeddedKey | undefined;
    for (const { key, value } of tables.streams.getRange({
      ...(after && { start: after, exclusiveStart: true }),
      limit: STREAMS_A_CALL,
    })) {
      looked += 1;
      last = key;
      if (isDue(value, retention)) due.push(key);
    }
    this.#retained = looked < STREAMS_A_CALL ? undefined : last;
    if (due.length === 0) return 0;
    return this.#write(tables, () => {
      let gone = 0;
      for (const key of due) {
        gone += retainStream(tables, key, retention);
        if (gone < ROWS_A_CALL) continue;
        this.#retained = key;
        break;
      }
      return gone;
    });
  }

  async blank(beforeMs: number): Promise<number> {
    const tables = this.#fresh();
    const end = [beforeMs + 1];
    const ended = [...tables.endings.getKeys({ end, limit: BODIES_A_CALL })];
    if (ended.length === 0) return 0;
    return this.#write(tables, () => blankEnded(tables, ended));
  }

  /** One transaction over all tables: the callback's reads see what it wrote. */
  async #write<Result>(tables: Tables, change: () => Result): Promise<Result> {
    try {
      return await tables.entries.transaction(change);
    } catch (error) {
      throw unavailable(error);
    }
  }

  /** The tables, with what was committed up to now. */
  #fresh(): Tables {
    const tables = this.#open();
    tables.entries.resetReadTxn();
    return tables;
  }

  #open(): Tables {
    if (!this.#tables) throw unavailable(new Error('The archive is not open.'));
    return this.#tables;
  }
}

/** Writes the entries that are not there yet. */
function append(tables: Tables, epoch: string, { shard, entries }: StoreBatch): void {
  const shared = sharedPositions(entries);
  for (const { stream, entry } of entries) {
    const name = archivedName(stream);
    const key = [epoch, name, entry.position];
    if (tables.entries.doesExist(key)) continue;
    const { position, body, prev: _, keys, ...rest } = entry;
    const isShared = shared.has(position);
    if (isShared) {
      const bodyKey = [epoch, shard, position];
      const users = tables.bodyUsers.get(bodyKey) ?? 0;
      if (users === 0) void tables.bodies.put(bodyKey, { body });
      void tables.bodyUsers.put(bodyKey, users + 1);
    }
    const row = { ...rest, keys: [...keys], bodyBytes: body.byteLength };
    void tables.entries.put(key, isShared ? { ...row, shard } : { ...row, body });
    if (entry.id !== '') void tables.byId.put([idKeyOf(entry.caller, entry.id), ...key], 1);
    if (entry.retentionMs !== undefined) void tables.endings.put(endingKey(entry, key), 1);
    const collapseId = collapseIdOf(entry);
    if (collapseId !== undefined) {
      const newest = tables.collapses.get([epoch, name, collapseId]) ?? BEFORE_ALL;
      void tables.collapses.put([epoch, name, collapseId], Math.max(newest, position));
    }
    const state = tables.streams.get([epoch, name]) ?? NO_ENTRIES;
    void tables.streams.put([epoch, name], withAppended(state, 1, entry.acceptedAtMs));
  }
}

/** One step of retention of a stream; answers how many rows went. */
function retainStream(tables: Tables, key: EmbeddedKey, retention: Retention): number {
  const state = tables.streams.get(key);
  if (!state) return 0;
  const [epoch, stream] = [String(key[0]), String(key[1])];
  const above = (after: Position): Found[] => [
    ...range(tables, epoch, stream, { after, limit: ENTRIES_A_STEP + 1 }),
  ];
  const step = retainStep(state, retention, above(state.floor), above(BEFORE_ALL));
  for (const { position, row } of step.deleted) {
    const place = [epoch, stream, position];
    void tables.entries.remove(place);
    const collapseId = collapseIdOf({ ...row, keys: row.keys as readonly ConnectionKey[] });
    const collapse = collapseId === undefined ? undefined : [epoch, stream, collapseId];
    if (collapse && tables.collapses.get(collapse) === position) void tables.collapses.remove(collapse);
    if (row.id !== '') void tables.byId.remove([idKeyOf(row.caller, row.id), ...place]);
    if (row.retentionMs !== undefined) void tables.endings.remove(endingKey(row, place));
    dropShared(tables, epoch, position, row);
  }
  void tables.streams.put(key, step.state);
  return step.deleted.length;
}

interface Bounds {
  /** Exclusive, both. */
  readonly after?: Position | undefined;
  readonly before?: Position | undefined;
  readonly backward?: boolean;
  readonly limit?: number;
}

function range(tables: Tables, epoch: string, stream: string, bounds: Bounds) {
  const { after = BEFORE_ALL, before = Infinity, backward = false, limit } = bounds;
  const first = [epoch, stream, after];
  const end = [epoch, stream, before];
  return tables.entries
    .getRange({
      ...(backward ? { start: end, end: first, reverse: true } : { start: first, end }),
      exclusiveStart: true,
      ...(limit !== undefined && { limit }),
    })
    .map(({ key, value }): Found => ({
      position: Number(key[2]),
      acceptedAtMs: value.acceptedAtMs,
      row: value,
    }));
}

function bodyBytes({ row }: Found): number {
  return row.bodyBytes;
}

function entryOf(tables: Tables, epoch: string, { position, row }: Found): ArchivedEntry {
  const { bodyBytes: _, shard, body, keys, ...rest } = row;
  const shared = shard === undefined ? undefined : tables.bodies.get([epoch, shard, position])?.body;
  const found = body ?? shared;
  if (!found) throw new HalleyError('internal', `The archive has lost the body of position ${position}.`);
  return { ...rest, position, keys: keys as readonly ConnectionKey[], body: found };
}

function compareNames(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

function unavailable(cause: unknown): HalleyError {
  return new HalleyError('store_unavailable', 'The archive could not be reached. Repeat.', { cause });
}
