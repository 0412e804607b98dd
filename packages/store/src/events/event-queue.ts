import { atMost } from '@halley/service/at-most';
import { Backoff } from '@halley/service/backoff';
import { HalleyError } from '@halley/protocol/error';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';

import { type Bus, type BusRecord, RecordsTooLarge, Topic } from '../bus/bus.js';
import { shardOf } from '../shard.js';
import type { EventKind, EventsConfig } from './config.js';
import type { Events, QueuedEvent } from './event.js';
import { eventMetrics } from './metrics.js';

export interface EventQueueDeps {
  readonly bus: Pick<Bus, 'produce' | 'partitions'>;
  readonly config: Pick<EventsConfig, 'kinds' | 'maxQueued'>;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Waits before a repetition; resolves at once when the signal aborts. For tests. */
  readonly wait?: (backoff: Backoff, signal: AbortSignal) => Promise<void>;
}

/** Why an event was lost. */
type Loss = 'queue_full' | 'too_large' | 'stopped';

const BATCH_EVENTS = 512;
const BATCH_BYTES = 1_048_576;

/**
 * Writes events to halley-events, in the order in which they are offered, one batch at a time. One that fails is repeated, so
 * events may stand there twice, with the same id. What does not fit is lost, the newest, and counted.
 */
export class EventQueue implements Events, Service {
  readonly name = 'events';
  readonly #kinds: ReadonlySet<EventKind>;
  readonly #stopping = new AbortController();
  readonly #metrics: ReturnType<typeof eventMetrics>;
  #waiting: QueuedEvent[] = [];
  /** Of those waiting, how many may be lost. */
  #mortal = 0;
  #writing: Promise<void> | undefined;
  #failing = false;

  constructor(private readonly deps: EventQueueDeps) {
    this.#kinds = new Set(deps.config.kinds);
    this.#metrics = eventMetrics(deps.metrics);
  }

  async start(): Promise<void> {
    // It writes when there is something.
  }

  /** Writes what there is, as far as that can be done in time. */
  async stop(deadlineMs: number): Promise<void> {
    await atMost(this.#writing ?? Promise.resolve(), deadlineMs);
    this.#stopping.abort();
    for (const event of this.#waiting.splice(0)) this.#lose(event, 'stopped');
  }

  wants(kind: EventKind): boolean {
    return this.#kinds.has(kind);
  }

  offer(event: QueuedEvent): void {
    if (!this.wants(event.kind)) return event.done?.();
    if (this.#stopping.signal.aborted) return this.#lose(event, 'stopped');
    if (!event.done) {
      if (this.#mortal >= this.deps.config.maxQueued) return this.#lose(event, 'queue_full');
      this.#mortal += 1;
    }
    this.#waiting.push(event);
    this.#writing ??= this.#write();
  }

  async #write(): Promise<void> {
    const { signal } = this.#stopping;
    // What comes in the same turn of the loop is written together.
    await Promise.resolve();
    while (this.#waiting.length > 0 && !signal.aborted) {
      const { events, records } = this.#batch();
      if (!(await this.#produce(events, records))) continue;
      for (const { kind, done } of events) {
        this.#metrics.written.inc({ kind });
        done?.();
      }
    }
    this.#writing = undefined;
  }

  #batch(): { readonly events: QueuedEvent[]; readonly records: BusRecord[] } {
    const shards = this.deps.bus.partitions(Topic.Events);
    const records: BusRecord[] = [];
    let bytes = 0;
    for (const { key, stream, encode } of this.#waiting) {
      const value = encode();
      bytes += value.byteLength;
      if (records.length > 0 && bytes > BATCH_BYTES) break;
      records.push({ key, value, partition: shardOf(stream, shards) });
      if (records.length >= BATCH_EVENTS) break;
    }
    const events = this.#waiting.splice(0, records.length);
    for (const { done } of events) if (!done) this.#mortal -= 1;
    return { events, records };
  }

  /** Until it is durable; false when it never will be. */
  async #produce(events: readonly QueuedEvent[], records: readonly BusRecord[]): Promise<boolean> {
    const { bus, log, wait = (backoff, signal) => backoff.wait(signal) } = this.deps;
    const { signal } = this.#stopping;
    const backoff = new Backoff({ baseMs: 50, maxMs: 2_000 });
    for (;;) {
      try {
        await bus.produce(Topic.Events, records);
        if (this.#failing) log.info('events are written again');
        this.#failing = false;
        return true;
      } catch (error) {
        const tooLarge = RecordsTooLarge.in(error);
        // Of one that was refused together with others' nothing is known yet.
        if (tooLarge && (records.length > 1 || tooLarge.records === 1))
          return this.#produceOneByOne(events, records);
        this.#metrics.failures.inc({ code: HalleyError.from(error).code });
        if (!this.#failing) log.warn({ err: error }, 'events cannot be written, repeating');
        this.#failing = true;
      }
      await wait(backoff, signal);
      if (!signal.aborted) continue;
      for (const event of events) this.#lose(event, 'stopped');
      return false;
    }
  }

  /** One that is too large by itself is lost: nothing may hold up those behind it. */
  async #produceOneByOne(events: readonly QueuedEvent[], records: readonly BusRecord[]): Promise<boolean> {
    if (events.length === 1) {
      this.#lose(events[0]!, 'too_large');
      events[0]!.done?.();
      return false;
    }
    for (const [at, event] of events.entries()) {
      if (!(await this.#produce([event], [records[at]!]))) continue;
      this.#metrics.written.inc({ kind: event.kind });
      event.done?.();
    }
    return false;
  }

  #lose({ kind, done }: QueuedEvent, reason: Loss): void {
    // What waits for its event is done again by another node.
    if (!(done && reason === 'stopped')) this.#metrics.lost.inc({ kind, reason });
  }
}
