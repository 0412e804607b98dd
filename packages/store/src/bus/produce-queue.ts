import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { BusRecord, ProduceOptions, Written } from './bus.js';
import { Call, type Part } from './produce-call.js';
import { joinRecords } from './produce-join.js';
import { recordBytes } from './record-codec.js';

/** Records of one partition that go to the bus together. The sender answers it once, with `done` or `fail`. */
export interface LaneBatch {
  readonly topic: string;
  readonly partition: number;
  readonly records: readonly BusRecord[];
  /** How many they were before they were joined. */
  readonly given: number;
  readonly bytes: number;
  /** When its oldest record came (Clock.monotonicMs). */
  readonly sinceMs: number;
  /** Everything is durable, at `baseOffset` and the following offsets. */
  done(baseOffset: number): void;
  fail(error: HalleyError): void;
}

export interface ProduceQueueDeps {
  readonly clock: Clock;
  /** Bytes that may wait or be in flight. */
  readonly maxQueuedBytes: number;
  /** Bytes of one batch; a single larger record goes alone. */
  readonly maxBatchBytes: number;
  /** How long records may wait for their lane before they are refused, in milliseconds. */
  readonly maxWaitMs: number;
  /** How long a free lane waits for more, in milliseconds; 0 takes what came in the same turn of the loop. */
  readonly lingerMs: number;
  /** Takes the batches of every lane that is free. */
  send(batches: readonly LaneBatch[]): void;
  /** Whether a free lane has to wait nevertheless; `retry` asks again. */
  blocked?(topic: string, partition: number): boolean;
  /** Told whenever the bytes in the queue change. */
  onQueuedBytes?(bytes: number): void;
}

const SWEEP_MS = 50;

/**
 * Lanes, one per partition: at most one batch of a lane is in flight, and what comes meanwhile is joined into the next.
 * So records of a partition stand in the order of the calls, and a full bus costs memory only up to the bound.
 */
export class ProduceQueue {
  readonly #lanes = new Map<string, Lane>();
  readonly #ready = new Set<Lane>();
  #queuedBytes = 0;
  #flushScheduled = false;
  #sweeper: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(private readonly deps: ProduceQueueDeps) {}

  /** Bytes waiting or in flight. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Records must have partitions. See `Bus.produce` for what it resolves and rejects with. */
  produce(
    topic: string,
    records: readonly (BusRecord & { readonly partition: number })[],
    options: ProduceOptions = {},
  ): Promise<Written[]> {
    if (this.#closed) return Promise.reject(new HalleyError('bus_refused', 'The bus is stopping.'));
    if (records.length === 0) return Promise.resolve([]);
    let bytes = 0;
    for (const record of records) bytes += recordBytes(record);
    if (this.#queuedBytes + bytes > this.deps.maxQueuedBytes) {
      return Promise.reject(
        new HalleyError('overloaded', 'The queue to the bus is full.', { retryAfterMs: 1_000 }),
      );
    }
    const now = this.deps.clock.monotonicMs();
    if (options.deadlineMs !== undefined && options.deadlineMs <= now) {
      return Promise.reject(new HalleyError('deadline_exceeded'));
    }
    this.#addBytes(bytes);
    return new Promise((resolve, reject) => {
      const call = new Call(
        records.length,
        now,
        options.deadlineMs,
        now + this.deps.maxWaitMs,
        resolve,
        reject,
      );
      this.#divide(topic, records, call);
      this.#scheduleFlush();
      this.#scheduleSweep();
    });
  }

  /** Takes no more; what waits is refused. What is in flight is answered by the sender. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#sweeper);
    for (const lane of this.#lanes.values()) {
      this.#drop(lane, () => new HalleyError('bus_refused', 'The bus is stopping.'));
    }
  }

  /** Asks again for lanes that were blocked. */
  retry(): void {
    this.#scheduleFlush();
  }

  #divide(topic: string, records: readonly (BusRecord & { readonly partition: number })[], call: Call): void {
    const open = new Map<number, Part>();
    records.forEach((record, index) => {
      const bytes = recordBytes(record);
      let part = open.get(record.partition);
      if (!part || part.bytes + bytes > this.deps.maxBatchBytes) {
        part = { call, records: [], indices: [], bytes: 0 };
        open.set(record.partition, part);
        call.parts += 1;
        const lane = this.#lane(topic, record.partition);
        lane.waiting.push(part);
        if (!lane.busy) this.#ready.add(lane);
      }
      part.records.push(record);
      part.indices.push(index);
      part.bytes += bytes;
    });
  }

  #lane(topic: string, partition: number): Lane {
    const name = `${partition}/${topic}`;
    let lane = this.#lanes.get(name);
    if (!lane) {
      lane = { topic, partition, waiting: [], busy: false };
      this.#lanes.set(name, lane);
    }
    return lane;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#ready.size === 0) return;
    this.#flushScheduled = true;
    const flush = (): void => {
      this.#flushScheduled = false;
      this.#flush();
    };
    if (this.deps.lingerMs > 0) setTimeout(flush, this.deps.lingerMs);
    else setImmediate(flush);
  }

  #flush(): void {
    const batches: LaneBatch[] = [];
    for (const lane of this.#ready) {
      if (this.deps.blocked?.(lane.topic, lane.partition)) continue;
      this.#ready.delete(lane);
      const batch = this.#take(lane);
      if (batch) batches.push(batch);
    }
    if (batches.length > 0) this.deps.send(batches);
  }

  #take(lane: Lane): LaneBatch | undefined {
    const now = this.deps.clock.monotonicMs();
    const parts: Part[] = [];
    let bytes = 0;
    let taken = 0;
    for (const part of lane.waiting) {
      const late = part.call.lateness(now);
      if (!late && parts.length > 0 && bytes + part.bytes > this.deps.maxBatchBytes) break;
      taken += 1;
      if (late) {
        this.#addBytes(-part.bytes);
        part.call.partFailed(late);
        continue;
      }
      parts.push(part);
      bytes += part.bytes;
    }
    lane.waiting.splice(0, taken);
    if (parts.length === 0) return undefined;
    lane.busy = true;
    return this.#batch(lane, parts, bytes);
  }

  #batch(lane: Lane, parts: readonly Part[], bytes: number): LaneBatch {
    const { partition, topic } = lane;
    const finish = (answer: (part: Part) => void): void => {
      lane.busy = false;
      this.#addBytes(-bytes);
      for (const part of parts) answer(part);
      if (lane.waiting.length > 0) this.#ready.add(lane);
      this.#scheduleFlush();
    };
    const given = parts.length === 1 ? parts[0]!.records : parts.flatMap((part) => part.records);
    const { records, places } = joinRecords(given);
    return {
      topic,
      partition,
      bytes,
      sinceMs: parts[0]!.call.sinceMs,
      records,
      given: given.length,
      done: (baseOffset) => {
        let at = 0;
        finish((part) => {
          const first = at;
          part.call.partWritten(
            part,
            partition,
            (index) => baseOffset + (places?.[first + index] ?? first + index),
          );
          at += part.records.length;
        });
      },
      fail: (error) => finish((part) => part.call.partFailed(error)),
    };
  }

  /** Ends the wait of what is late although its lane is still busy, so that callers hear of it in time. */
  #scheduleSweep(): void {
    if (this.#sweeper) return;
    this.#sweeper = setTimeout(() => {
      this.#sweeper = undefined;
      const now = this.deps.clock.monotonicMs();
      let waiting = false;
      for (const lane of this.#lanes.values()) {
        if (lane.waiting.length === 0) continue;
        this.#drop(lane, (part) => part.call.lateness(now));
        waiting ||= lane.waiting.length > 0;
      }
      if (waiting) this.#scheduleSweep();
    }, SWEEP_MS);
    this.#sweeper.unref();
  }

  #drop(lane: Lane, reason: (part: Part) => HalleyError | undefined): void {
    lane.waiting = lane.waiting.filter((part) => {
      const error = reason(part);
      if (!error) return true;
      this.#addBytes(-part.bytes);
      part.call.partFailed(error);
      return false;
    });
  }

  #addBytes(bytes: number): void {
    this.#queuedBytes += bytes;
    this.deps.onQueuedBytes?.(this.#queuedBytes);
  }
}

interface Lane {
  readonly topic: string;
  readonly partition: number;
  waiting: Part[];
  busy: boolean;
}
