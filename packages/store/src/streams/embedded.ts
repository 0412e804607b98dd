import { HalleyError } from '@halley/protocol/error';
import type { ConnectionKey } from '@halley/protocol/ids';
import { systemClock, type Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

import { openEmbeddedDatabase, type EmbeddedDatabase } from '../embedded-database.js';
import { shardOf } from '../shard.js';
import { idKeyOf, planAppend } from './append-plan.js';
import { appendTo, dropFrom, toldNewest, writeFailure } from './embedded-append.js';
import { resumeCursor, saveCursor, storedCursors } from './embedded-cursors.js';
import { collapsedIn, pageOf, scanShard } from './embedded-read.js';
import { sweep, type SweepPlace } from './embedded-sweep.js';
import { openTables, type StoredCursor, type StreamTables } from './embedded-tables.js';
import {
  BEFORE_ALL,
  type AppendAnswer,
  type AppendBatch,
  type Collapsed,
  type CollapseQuery,
  type Cursor,
  type CursorWrite,
  type DeviceCursor,
  type HeldPage,
  type Position,
  type ReadQuery,
  type ResumeOutcome,
  type Resuming,
  type ShardEntry,
  type ShardState,
  type Streams,
} from './streams.js';

const DEFAULT_INLINE_BYTES = 256;
const DEFAULT_SWEEP_INTERVAL_MS = 10_000;
/** Positions that one transaction removes, so that a large removal does not hold the others up. */
const POSITIONS_A_DROP = 500;

export interface EmbeddedStreamsDeps {
  /** An existing folder; the streams are in the file that the embedded bus has there. */
  readonly dataDir: string;
  /** The bus's partition count. */
  readonly shards: number;
  readonly log: Logger;
  readonly clock?: Clock;
  /** As streams.inlineBytes. Default 256. */
  readonly inlineBytes?: number;
  /** How often ids and newest positions whose time is over are looked for, in milliseconds. Default 10 s. */
  readonly sweepIntervalMs?: number;
}

/** Streams in the embedded file, for one process. What writes answers once the disk has it; all writers share flushes. */
export class EmbeddedStreams implements Streams {
  readonly name = 'streams (embedded)';
  readonly #clock: Clock;
  #database: EmbeddedDatabase | undefined;
  #tables: StreamTables | undefined;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #sweepPlace: SweepPlace = {};
  readonly #writes = new Set<Promise<unknown>>();
  #failure: HalleyError | undefined;

  constructor(private readonly deps: EmbeddedStreamsDeps) {
    this.#clock = deps.clock ?? systemClock;
  }

  async start(): Promise<void> {
    this.#database = await openEmbeddedDatabase(this.deps.dataDir);
    this.#tables = openTables(this.#database);
    this.#timer = setInterval(() => {
      this.#sweeping = this.#sweeping.then(() => this.#sweep());
    }, this.deps.sweepIntervalMs ?? DEFAULT_SWEEP_INTERVAL_MS).unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    const database = this.#database;
    this.#database = undefined;
    await this.#sweeping;
    await Promise.allSettled(this.#writes);
    this.#tables = undefined;
    await database?.release();
  }

  healthy(): boolean {
    return this.#database !== undefined && this.#failure?.code !== 'store_unavailable';
  }

  /** The last write found the disk full. */
  full(): boolean {
    return this.#failure?.code === 'store_full';
  }

  async append(batch: AppendBatch): Promise<AppendAnswer> {
    const plan = planAppend(batch, this.deps.inlineBytes ?? DEFAULT_INLINE_BYTES);
    return this.#write((tables) => appendTo(tables, batch, plan, this.#clock.now()));
  }

  async restore(shard: number, epoch: string, position: Position): Promise<ShardState> {
    return this.#write((tables) => {
      const state = tables.shards.get([shard]);
      if (state?.epoch === epoch) return { applied: state.applied, trimmed: state.trimmed };
      dropFrom(tables, shard, Infinity, Infinity);
      const life = (state?.life ?? 0) + 1;
      void tables.shards.put([shard], {
        epoch,
        applied: position,
        trimmed: position,
        restored: position,
        restoredAtMs: position === BEFORE_ALL ? 0 : this.#clock.now(),
        life,
      });
      return { applied: position, trimmed: position };
    });
  }

  async state(shard: number, epoch: string): Promise<ShardState | undefined> {
    const state = this.#snapshot().shards.get([shard]);
    return state?.epoch === epoch ? { applied: state.applied, trimmed: state.trimmed } : undefined;
  }

  async restoredAtMs(shard: number, epoch: string): Promise<number | undefined> {
    const state = this.#snapshot().shards.get([shard]);
    return state?.epoch === epoch ? (state.restoredAtMs ?? 0) : undefined;
  }

  async read(epoch: string, queries: readonly ReadQuery[]): Promise<readonly (HeldPage | undefined)[]> {
    const tables = this.#snapshot();
    return queries.map((query) => pageOf(tables, epoch, shardOf(query.stream, this.deps.shards), query));
  }

  async collapsed(
    epoch: string,
    queries: readonly CollapseQuery[],
  ): Promise<readonly (Collapsed | undefined)[]> {
    const tables = this.#snapshot();
    return queries.map((query) => collapsedIn(tables, epoch, shardOf(query.stream, this.deps.shards), query));
  }

  async newest(streams: readonly string[]): Promise<ReadonlyMap<string, Position>> {
    const tables = this.#snapshot();
    const newest = new Map<string, Position>();
    for (const stream of streams) {
      const state = tables.shards.get([shardOf(stream, this.deps.shards)]);
      const position = state && toldNewest(tables, stream, state, this.#clock.now());
      if (position !== undefined) newest.set(stream, position);
    }
    return newest;
  }

  async appliedAt(stream: string, caller: string, id: string): Promise<Position | undefined> {
    if (id === '') return undefined;
    const shard = shardOf(stream, this.deps.shards);
    const known = this.#snapshot().ids.get([shard, idKeyOf(caller, id)]);
    return known && known[2] > this.#clock.now() ? known[0] : undefined;
  }

  async positions(caller: string, id: string): Promise<ReadonlyMap<number, Position>> {
    const positions = new Map<number, Position>();
    if (id === '') return positions;
    const { ids } = this.#snapshot();
    const name = idKeyOf(caller, id);
    for (let shard = 0; shard < this.deps.shards; shard += 1) {
      const known = ids.get([shard, name]);
      if (known && known[2] > this.#clock.now()) positions.set(shard, known[0]);
    }
    return positions;
  }

  async scan(
    shard: number,
    epoch: string,
    after: Position,
    maxEntries: number,
  ): Promise<{ readonly through: Position; readonly entries: readonly ShardEntry[] } | undefined> {
    return scanShard(this.#snapshot(), epoch, shard, after, maxEntries);
  }

  async trim(shard: number, epoch: string, through: Position): Promise<void> {
    const step = (tables: StreamTables): boolean => {
      const state = tables.shards.get([shard]);
      const to = Math.min(through, state?.applied ?? through);
      if (state?.epoch !== epoch || to <= state.trimmed) return false;
      const { last, more } = dropFrom(tables, shard, to, POSITIONS_A_DROP);
      void tables.shards.put([shard], { ...state, trimmed: more && last !== undefined ? last : to });
      return more;
    };
    while (await this.#write(step));
  }

  async saveCursors(cursors: readonly CursorWrite[]): Promise<void> {
    if (cursors.length === 0) return;
    await this.#write((tables) => {
      for (const write of cursors) saveCursor(tables, write, this.#clock.now());
    });
  }

  async resume(
    epoch: string,
    ttlMs: number,
    devices: readonly Resuming[],
  ): Promise<readonly ResumeOutcome[]> {
    if (devices.length === 0) return [];
    try {
      return await this.#write((tables) => {
        const nowMs = this.#clock.now();
        return devices.map((device) => {
          const shard = shardOf(device.stream, this.deps.shards);
          return resumeCursor(tables, device, { shard, epoch, ttlMs, nowMs });
        });
      });
    } catch (error) {
      return devices.map(() => HalleyError.from(error));
    }
  }

  async cursors(stream: string): Promise<ReadonlyMap<ConnectionKey, Cursor>> {
    const now = this.#clock.now();
    const cursors = new Map<ConnectionKey, Cursor>();
    for (const { key, epoch, position, untilMs } of storedCursors(this.#snapshot(), stream))
      if (untilMs > now) cursors.set(key as ConnectionKey, { epoch, position });
    return cursors;
  }

  async devices(
    streams: readonly string[],
  ): Promise<ReadonlyMap<string, ReadonlyMap<ConnectionKey, DeviceCursor>>> {
    const [tables, now] = [this.#snapshot(), this.#clock.now()];
    const devices = new Map<string, ReadonlyMap<ConnectionKey, DeviceCursor>>();
    for (const stream of new Set(streams)) {
      const live = storedCursors(tables, stream).filter(({ untilMs }) => untilMs > now);
      if (live.length > 0) devices.set(stream, new Map(live.map(deviceOf)));
    }
    return devices;
  }

  /** One transaction, durable when it resolves. The file does not undo a change that throws half way. */
  async #write<T>(change: (tables: StreamTables) => T): Promise<T> {
    const database = this.#database;
    const tables = this.#tables;
    if (!database || !tables) throw new HalleyError('store_unavailable', 'The streams are not open.');
    const written = (async () => {
      try {
        const answer = await tables.shards.transaction(() => change(tables));
        await database.flushed();
        this.#failure = undefined;
        return answer;
      } catch (error) {
        this.#failure = writeFailure(error);
        throw this.#failure;
      }
    })();
    this.#writes.add(written);
    return written.finally(() => this.#writes.delete(written));
  }

  /** The tables as they are now: what this turn of the loop read first can be older than the last commit. */
  #snapshot(): StreamTables {
    if (!this.#tables) throw new HalleyError('store_unavailable', 'The streams are not open.');
    this.#tables.shards.resetReadTxn();
    return this.#tables;
  }

  async #sweep(): Promise<void> {
    if (!this.#database) return;
    try {
      await this.#write((tables) => {
        this.#sweepPlace = sweep(tables, this.#clock.now(), this.#sweepPlace);
      });
    } catch (error) {
      this.deps.log.warn({ err: error }, 'what streams no longer need could not be removed, repeating');
    }
  }
}

function deviceOf({ key, epoch, position, begin = position, untilMs }: StoredCursor) {
  return [key as ConnectionKey, { epoch, position, begin, untilMs }] as const;
}
