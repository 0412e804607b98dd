import { randomUUID } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';

import type { BusRecord, ProduceOptions, Written } from '../bus.js';
import type { BusConfig } from '../config.js';
import type { BusMetrics } from '../metrics.js';
import { ProduceQueue, type LaneBatch } from '../produce-queue.js';
import { encodeRecord } from '../record-codec.js';
import { within } from '../within.js';
import { isOutOfMemory, readAnswer, readFailure, type RedisAttempt } from './attempt.js';
import { redisMessage, type RedisBusConnection } from './client.js';
import { type RedisBusKeys, SKIPPED_OFFSETS } from './keys.js';

export interface RedisProducerDeps {
  readonly config: BusConfig;
  readonly keys: RedisBusKeys;
  readonly connection: RedisBusConnection;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: BusMetrics;
  epoch(): string;
  /** A partition is full: whether something could be removed from it. */
  makeRoom(topic: string, partition: number): Promise<boolean>;
  /** What the bus held is gone. */
  onLost(): void;
}

/** A batch is tried once at least, however long it waited for its lane. */
const LEAST_TRY_MS = 500;

/**
 * Writes batches, one in flight a partition. An attempt without an answer is repeated under the same number, and the
 * script writes it once: the outcome is unknown only when no attempt was answered in time.
 */
export class RedisProducer {
  readonly #id = randomUUID();
  readonly #queue: ProduceQueue;
  readonly #sequences = new Map<string, number>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #stopped = new AbortController();

  constructor(private readonly deps: RedisProducerDeps) {
    const { clock, config, metrics } = deps;
    this.#queue = new ProduceQueue({
      clock,
      maxQueuedBytes: config.maxQueuedBytes,
      maxBatchBytes: config.maxBatchBytes,
      maxWaitMs: config.produceTimeoutMs,
      lingerMs: config.lingerMs,
      onQueuedBytes: (bytes) => metrics.queuedBytes(bytes),
      send: (batches) => {
        for (const batch of batches) {
          const delivery = this.#deliver(batch).finally(() => this.#inFlight.delete(delivery));
          this.#inFlight.add(delivery);
        }
      },
    });
  }

  produce(
    topic: string,
    records: readonly (BusRecord & { readonly partition: number })[],
    options?: ProduceOptions,
  ): Promise<Written[]> {
    return this.#queue.produce(topic, records, options);
  }

  /** Refuses what waits, and ends what is in flight by the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    this.#queue.close();
    await within(Promise.all(this.#inFlight), deadlineMs);
    this.#stopped.abort();
    await Promise.all(this.#inFlight);
  }

  async #deliver(batch: LaneBatch): Promise<void> {
    const { clock, config, log, metrics } = this.deps;
    const { partition, topic } = batch;
    const sinceMs = clock.monotonicMs();
    const untilMs = Math.max(batch.sinceMs + config.produceTimeoutMs, sinceMs + LEAST_TRY_MS);
    const outcome = await this.#settle(batch, untilMs);
    const code = outcome instanceof HalleyError ? outcome.code : 'ok';
    const seconds = (clock.monotonicMs() - sinceMs) / 1_000;
    metrics.produced(topic, code, batch.records.length, batch.bytes, seconds);
    if (!(outcome instanceof HalleyError)) return batch.done(outcome);
    const fields = { err: redisMessage(outcome), topic, partition, records: batch.records.length };
    log.warn(fields, `records were not written: ${code}`);
    batch.fail(outcome);
  }

  /** Tries until the batch is written, refused for good, or its time is over. Answers its first offset, or the error. */
  async #settle(batch: LaneBatch, untilMs: number): Promise<number | HalleyError> {
    const { clock, config } = this.deps;
    const records = batch.records.map((record) => encodeRecord(record, clock.now()));
    const backoff = new Backoff({ baseMs: 20, maxMs: 500 });
    let sequence = this.#next(batch);
    let ambiguous = false;
    for (;;) {
      const attempt = await this.#attempt(batch, sequence, records, untilMs);
      switch (attempt.kind) {
        case 'written':
          if (attempt.replicas >= config.redis.replicas) return attempt.base;
          ambiguous = true;
          break;
        case 'full':
          // This number was refused, whatever became of earlier attempts.
          if (!(await this.deps.makeRoom(batch.topic, batch.partition))) return full(undefined);
          ambiguous = false;
          sequence = this.#next(batch);
          break;
        case 'lost':
          this.deps.onLost();
          // What an earlier attempt wrote may have been read before it was lost.
          return new HalleyError(
            ambiguous ? 'bus_unknown' : 'bus_refused',
            'Redis has lost what the bus held.',
          );
        case 'ambiguous':
          ambiguous = true;
          break;
        case 'rejected':
          if (!ambiguous && isOutOfMemory(attempt.cause)) return full(attempt.cause);
      }
      if (!this.#isOver(untilMs)) await backoff.wait(this.#stopped.signal);
      if (this.#isOver(untilMs)) return failureOf(attempt, ambiguous);
    }
  }

  /** One attempt, given up at `untilMs`: then it may still be on its way. */
  async #attempt(
    batch: LaneBatch,
    sequence: number,
    records: readonly Buffer[],
    untilMs: number,
  ): Promise<RedisAttempt> {
    const { config, keys } = this.deps;
    const { partition, topic } = batch;
    const args = [
      this.deps.epoch(),
      this.#id,
      sequence,
      config.redis.maxPartitionRecords,
      config.redis.maxPartitionBytes,
      SKIPPED_OFFSETS,
      keys.newRecords(topic),
      partition,
      ...records,
    ];
    const writing = this.#write(keys.partition(topic, partition), args).catch(readFailure);
    const remainingMs = Math.max(LEAST_TRY_MS, untilMs - this.deps.clock.monotonicMs());
    const attempt = await within(writing, remainingMs);
    return attempt ?? { kind: 'ambiguous', cause: new Error('Redis did not answer in time') };
  }

  async #write(keys: readonly string[], args: readonly (string | number | Buffer)[]): Promise<RedisAttempt> {
    const { connection, config } = this.deps;
    const { replicas, replicaTimeoutMs } = config.redis;
    if (replicas === 0) return readAnswer(await connection.run('produce', keys, args), 0);
    const { answer, acknowledged } = await connection.runAndWait(
      'produce',
      keys,
      args,
      replicas,
      replicaTimeoutMs,
    );
    return readAnswer(answer, acknowledged);
  }

  #next({ partition, topic }: LaneBatch): number {
    const lane = `${partition}/${topic}`;
    const sequence = (this.#sequences.get(lane) ?? 0) + 1;
    this.#sequences.set(lane, sequence);
    return sequence;
  }

  #isOver(untilMs: number): boolean {
    return this.#stopped.signal.aborted || this.deps.clock.monotonicMs() >= untilMs;
  }
}

function full(cause: unknown): HalleyError {
  return new HalleyError('overloaded', 'The bus in Redis is full: its readers have to come on first.', {
    retryAfterMs: 1_000,
    ...(cause === undefined ? {} : { cause }),
  });
}

function failureOf(attempt: RedisAttempt, ambiguous: boolean): HalleyError {
  if (attempt.kind === 'full') return full(undefined);
  const cause =
    attempt.kind === 'written'
      ? new Error('too few replicas have it')
      : (attempt as { cause?: unknown }).cause;
  return new HalleyError(ambiguous ? 'bus_unknown' : 'bus_refused', undefined, { cause });
}
