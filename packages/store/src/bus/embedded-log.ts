import { randomUUID } from 'node:crypto';
import type { Database } from 'lmdb';
import { HalleyError } from '@halley/protocol/error';
import type { EmbeddedDatabase, EmbeddedKey } from '../embedded-database.js';
import type { BusRecord, ReadRecord } from './bus.js';
import { decodeRecord, encodeRecord, recordTimeMs } from './record-codec.js';

/** What is kept of a topic of the embedded bus; whatever goes first. */
export interface EmbeddedRetention {
  /** What every group has committed goes after this time, in milliseconds. */
  readonly committedMs: number;
  /** Any record goes after this time, committed or not, in milliseconds. */
  readonly maxAgeMs: number;
  /** Records that a topic holds at most, committed or not. */
  readonly maxRecords: number;
}

/** Records removed in one transaction, so that a large removal does not hold the others up. */
const TRIM_STEP = 2_000;

/**
 * The records, commits and epoch of the embedded bus in the shared file. Tables: `bus-records` (topic, partition,
 * offset) → record; `bus-state` → epoch, partition count, topics, next offsets and commits. One process writes it, and
 * it calls `append` for a partition only when the previous one has ended.
 */
export class EmbeddedLog {
  readonly epoch: string;
  readonly #records: Database<Buffer, EmbeddedKey>;
  readonly #state: Database<string | number, EmbeddedKey>;
  readonly #topics = new Map<string, TopicState>();

  constructor(
    private readonly database: EmbeddedDatabase,
    readonly partitions: number,
  ) {
    this.#records = database.bytes('bus-records');
    this.#state = database.table('bus-state');
    this.epoch = this.#claim();
  }

  /** Writes records behind the others of the partition; resolves with the first one's offset once they are on the disk. */
  async append(
    topic: string,
    partition: number,
    records: readonly BusRecord[],
    nowMs: number,
  ): Promise<number> {
    const state = this.#topic(topic);
    const base = state.next[partition]!;
    try {
      await this.#records.batch(() => {
        records.forEach((record, index) => {
          void this.#records.put([state.id, partition, base + index], encodeRecord(record, nowMs));
        });
        void this.#state.put(['next', state.id, partition], base + records.length);
      });
    } catch (error) {
      throw new HalleyError('bus_refused', 'The data folder took no record (is the disk full?).', {
        cause: error,
      });
    }
    state.next[partition] = base + records.length;
    try {
      await this.database.flushed();
    } catch (error) {
      throw new HalleyError('bus_unknown', undefined, { cause: error });
    }
    state.durable[partition] = base + records.length;
    return base;
  }

  /** The offset behind the newest record that is on the disk. */
  end(topic: string, partition: number): number {
    return this.#topic(topic).durable[partition]!;
  }

  /** The offset of the oldest record kept, or the end. */
  start(topic: string, partition: number): number {
    const { id } = this.#topic(topic);
    const [first] = this.#records.getKeys({
      start: [id, partition, 0],
      end: [id, partition, Infinity],
      limit: 1,
    });
    return first === undefined ? this.end(topic, partition) : Number(first[2]);
  }

  /** Records from `offset` on, up to the bounds (one at least, when there is one). */
  read(topic: string, partition: number, offset: number, maxRecords: number, maxBytes: number): ReadRecord[] {
    const end = this.end(topic, partition);
    if (offset >= end) return [];
    const records = this.#range(topic, partition, offset, end, maxRecords, maxBytes);
    if (records.length > 0) return records;
    // The snapshot that this turn of the loop reads can be older than the last commit.
    this.#records.resetReadTxn();
    return this.#range(topic, partition, offset, end, maxRecords, maxBytes);
  }

  #range(
    topic: string,
    partition: number,
    offset: number,
    end: number,
    maxRecords: number,
    maxBytes: number,
  ): ReadRecord[] {
    const { id } = this.#topic(topic);
    const records: ReadRecord[] = [];
    let bytes = 0;
    const range = { start: [id, partition, offset], end: [id, partition, end], limit: maxRecords };
    for (const { key, value } of this.#records.getRange(range)) {
      bytes += value.length;
      if (records.length > 0 && bytes > maxBytes) break;
      records.push(decodeRecord(Number(key[2]), value));
    }
    return records;
  }

  /** Makes the topic's retention wait for this group. */
  async addGroup(group: string, topic: string): Promise<void> {
    await this.#state.put(['group', this.#topic(topic).id, group], 1);
  }

  committed(group: string, topic: string, partition: number): number | undefined {
    const offset = this.#state.get(['commit', this.#topic(topic).id, group, partition]);
    return offset === undefined ? undefined : Number(offset);
  }

  async commit(group: string, topic: string, partition: number, offset: number): Promise<void> {
    await this.#state.put(['commit', this.#topic(topic).id, group, partition], offset);
  }

  /** Removes what the retention lets go; returns how many of the removed records some group had not committed. */
  async trim(retention: EmbeddedRetention, nowMs: number): Promise<number> {
    let lost = 0;
    for (const topic of this.#knownTopics()) {
      const starts = Array.from({ length: this.partitions }, (_, partition) => this.start(topic, partition));
      const kept = starts.reduce((sum, start, partition) => sum + this.end(topic, partition) - start, 0);
      // An even share for each partition: the records over the bound go where they are.
      const keepShare = kept > retention.maxRecords ? retention.maxRecords / kept : 1;
      for (const [partition, start] of starts.entries()) {
        const size = this.end(topic, partition) - start;
        const forced = start + size - Math.floor(size * keepShare);
        lost += await this.#trimPartition(topic, partition, start, forced, retention, nowMs);
      }
    }
    return lost;
  }

  async #trimPartition(
    topic: string,
    partition: number,
    start: number,
    forced: number,
    retention: EmbeddedRetention,
    nowMs: number,
  ): Promise<number> {
    const { id } = this.#topic(topic);
    const done = this.#committedByAll(topic, partition);
    const end = this.end(topic, partition);
    let lost = 0;
    for (let at = start, more = true; more && at < end; at += TRIM_STEP) {
      const removed: EmbeddedKey[] = [];
      const range = { start: [id, partition, at], end: [id, partition, Math.min(end, at + TRIM_STEP)] };
      for (const { key, value } of this.#records.getRange(range)) {
        const offset = Number(key[2]);
        const ageMs = nowMs - recordTimeMs(value);
        more =
          offset < forced || ageMs > retention.maxAgeMs || (offset < done && ageMs > retention.committedMs);
        if (!more) break;
        if (offset >= done) lost += 1;
        removed.push(key);
      }
      if (removed.length === 0) break;
      await this.#records.batch(() => {
        for (const key of removed) void this.#records.remove(key);
      });
    }
    return lost;
  }

  /** What lies below is committed by every group of the topic; 0 without a group. */
  #committedByAll(topic: string, partition: number): number {
    const { id } = this.#topic(topic);
    let least = Infinity;
    for (const key of this.#state.getKeys({ start: ['group', id, ''], end: ['group', id, '\uffff'] })) {
      least = Math.min(least, this.committed(String(key[2]), topic, partition) ?? 0);
    }
    return Number.isFinite(least) ? least : 0;
  }

  #knownTopics(): string[] {
    return [...this.#state.getKeys({ start: ['topic', ''], end: ['topic', '\uffff'] })].map((key) =>
      String(key[1]),
    );
  }

  #topic(topic: string): TopicState {
    let state = this.#topics.get(topic);
    if (!state) {
      state = this.#openTopic(topic);
      this.#topics.set(topic, state);
    }
    return state;
  }

  #openTopic(topic: string): TopicState {
    let id = this.#state.get(['topic', topic]);
    if (id === undefined) {
      id = this.#knownTopics().length;
      this.#state.putSync(['topic', topic], id);
    }
    const next = Array.from({ length: this.partitions }, (_, partition) =>
      Number(this.#state.get(['next', Number(id), partition]) ?? 0),
    );
    return { id: Number(id), next, durable: [...next] };
  }

  #claim(): string {
    const partitions = this.#state.get(['partitions']);
    if (partitions !== undefined && partitions !== this.partitions) {
      throw new HalleyError(
        'bad_config',
        `bus.partitions is ${this.partitions}, but the data folder was made with ${partitions}: set it back, or start with an empty folder.`,
      );
    }
    const epoch = this.#state.get(['epoch']);
    if (epoch !== undefined) return String(epoch);
    const fresh = randomUUID();
    this.#state.transactionSync(() => {
      this.#state.putSync(['epoch'], fresh);
      this.#state.putSync(['partitions'], this.partitions);
    });
    return fresh;
  }
}

interface TopicState {
  readonly id: number;
  /** By partition: the offset that the next record gets. */
  readonly next: number[];
  /** By partition: the offset behind the newest record on the disk; consumers see no further. */
  readonly durable: number[];
}
