import { setTimeout as sleep } from 'node:timers/promises';

import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { type Bus, type BusRecord, type ReadBatch, type ReadRecord, Topic } from '@halley/store/bus/bus';

import type { BatchWork } from '../consume/batch-consumer.js';
import type { DeadLetters } from '../consume/dead-letter.js';
import { BadRecord, decodePushes } from '../consume/push-record.js';
import type { JobMetrics } from '../metrics.js';
import { type WriteOutcome, writeRecords } from '../write-records.js';
import { Backlog, type BacklogDeps } from './backlog.js';

/** Names the record of halley-bulk that a push was taken from, so that a repeated write is found. */
export const BULK_HEADER = 'halley-bulk';

export interface BulkLimits {
  /** Pushes a second that go to a partition. */
  readonly maxPerSecond: number;
  /** How often is looked whether the backlog allows more. */
  readonly turnMs: number;
}

export interface BulkMoverDeps extends Omit<BacklogDeps, 'maxAgeMs'> {
  readonly bus: Pick<Bus, 'produce' | 'lags'>;
  readonly deadLetters: Pick<DeadLetters, 'write'>;
  readonly limits: BulkLimits & { readonly maxBacklogRecords: number; readonly maxBacklogAgeMs: number };
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** A record that waits, and how many pushes it holds. */
interface Waiting {
  readonly read: ReadRecord;
  readonly pushes: number;
}

/**
 * Moves bulk pushes to halley-push, partition by partition and in order, as far as the backlog of the others there allows: a
 * turn moves as much as the backlog may still grow, and as the rate lets it. So what is pushed meanwhile waits behind that much
 * at most, however many bulk pushes there are.
 */
export class BulkMover implements BatchWork {
  readonly #backlog: Backlog;
  /** When the bus took the oldest record that waits, by partition. */
  readonly #oldest = new Map<number, number>();

  constructor(private readonly deps: BulkMoverDeps) {
    const { maxBacklogAgeMs } = deps.limits;
    this.#backlog = new Backlog({ ...deps, maxAgeMs: maxBacklogAgeMs });
  }

  /** Unix milliseconds at which the bus took the oldest bulk push that waits here; undefined when none does. */
  get oldestWaitingMs(): number | undefined {
    return this.#oldest.size > 0 ? Math.min(...this.#oldest.values()) : undefined;
  }

  async take(
    batch: ReadBatch,
    signal: AbortSignal,
    commit: (offset: number) => Promise<void>,
  ): Promise<boolean> {
    this.deps.metrics.records.inc({ topic: batch.topic }, batch.records.length);
    try {
      return await this.#take(batch, signal, commit);
    } finally {
      this.#oldest.delete(batch.partition);
    }
  }

  async #take(
    batch: ReadBatch,
    signal: AbortSignal,
    commit: (offset: number) => Promise<void>,
  ): Promise<boolean> {
    const { limits, clock, deadLetters } = this.deps;
    const perTurn = Math.max(1, Math.floor((limits.maxPerSecond * limits.turnMs) / 1_000));
    let at = 0;
    /** A record is moved whole: what it holds above its turn's share is taken off the next ones. */
    let allowed = perTurn;
    while (at < batch.records.length) {
      this.#oldest.set(batch.partition, batch.records[at]!.timestampMs);
      const sinceMs = clock.monotonicMs();
      let room = allowed > 0 ? await this.#room(batch.partition) : 0;
      const moving: Waiting[] = [];
      while (room > 0 && allowed > 0 && at < batch.records.length) {
        const read = batch.records[at]!;
        const pushes = countOf(read);
        if (pushes instanceof BadRecord) {
          if (moving.length > 0) break;
          if (!(await deadLetters.write(batch, read, pushes, signal))) return false;
        } else {
          moving.push({ read, pushes });
          allowed -= pushes;
        }
        room -= 1;
        at += 1;
      }
      if (moving.length > 0 && !(await this.#move(batch, moving, signal))) return false;
      if (at === batch.records.length) return true;
      if (moving.length > 0) await commit(batch.records[at]!.offset);
      const restMs = Math.max(0, limits.turnMs - (clock.monotonicMs() - sinceMs));
      await sleep(restMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return false;
      allowed = Math.min(perTurn, allowed + perTurn);
    }
    return true;
  }

  /** Records by which the backlog may grow; none while nobody knows. */
  async #room(partition: number): Promise<number> {
    try {
      return this.deps.limits.maxBacklogRecords - (await this.#backlog.of(partition));
    } catch (error) {
      this.deps.log.debug({ err: error, partition }, 'the backlog is not known, bulk pushes wait');
      return 0;
    }
  }

  /** Writes all, in order, for as long as it takes; false when the signal aborted first. */
  async #move(batch: ReadBatch, moving: readonly Waiting[], signal: AbortSignal): Promise<boolean> {
    const { bulkMoved } = this.deps.metrics;
    let outcome = await this.#write(batch, moving.map(named(batch)), signal);
    if (outcome === 'too_large' && moving.length > 1) {
      for (const one of moving) if (!(await this.#move(batch, [one], signal))) return false;
      return true;
    }
    const [only] = moving;
    if (outcome === 'too_large' && only) {
      // The bus took it once: what it can't have is our header. Then it goes without.
      outcome = await this.#write(batch, [recordOf(batch, only)], signal);
      if (outcome === 'too_large')
        return this.deps.deadLetters.write(batch, only.read, new BadRecord('too_large'), signal);
    }
    if (outcome === 'aborted') return false;
    for (const { pushes } of moving) bulkMoved.inc(pushes);
    return true;
  }

  async #write(
    { partition }: ReadBatch,
    records: readonly BusRecord[],
    signal: AbortSignal,
  ): Promise<WriteOutcome> {
    if (signal.aborted) return 'aborted';
    const { bus, metrics, log } = this.deps;
    return writeRecords(bus, Topic.Push, records, {
      signal,
      maxBackoffMs: 1_000,
      onFailure: (err, code) => {
        metrics.produceFailures.inc({ topic: Topic.Push, code });
        log.warn({ err, partition }, 'bulk pushes were not moved, repeating');
      },
    });
  }
}

function recordOf({ partition }: ReadBatch, { read }: Waiting): BusRecord {
  return { partition, key: read.key ?? '', value: read.value, headers: read.headers };
}

function named(batch: ReadBatch): (one: Waiting) => BusRecord {
  return (one) => {
    const { offset, timestampMs } = one.read;
    const source = `bulk ${batch.partition}:${offset}:${timestampMs}`;
    return { ...recordOf(batch, one), headers: { ...one.read.headers, [BULK_HEADER]: source } };
  };
}

function countOf({ value }: ReadRecord): number | BadRecord {
  try {
    return decodePushes(value).length;
  } catch (error) {
    if (error instanceof BadRecord) return error;
    throw error;
  }
}
