import type { Kafka } from 'kafkajs';
import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { RecordsTooLarge, type BusRecord, type ProduceOptions, type Written } from './bus.js';
import type { BusConfig } from './config.js';
import { isTooLarge, type Attempt } from './kafka-attempt.js';
import { requestTimeoutMs } from './kafka-client.js';
import { laneName, ProducerGeneration, seal, type SealedBatch } from './kafka-generation.js';
import type { Leaders } from './kafka-leaders.js';
import type { BusMetrics } from './metrics.js';
import { ProduceQueue, type LaneBatch } from './produce-queue.js';
import { within } from './within.js';

export interface KafkaProducerDeps {
  readonly config: BusConfig;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: BusMetrics;
  readonly leaders: Leaders;
  makeClient(): Kafka;
  /** Told after each attempt whether Kafka took it. */
  onOutcome(reached: boolean): void;
}

/** A batch is tried once more at least, however long it waited for its lane. */
const LEAST_TRY_MS = 1_000;

/**
 * Writes through idempotent producers, with one request in flight per broker that carries every partition which is
 * free, and an outcome that is honest: refused only when no attempt can have written anything.
 */
export class KafkaProducer {
  readonly #queue: ProduceQueue;
  readonly #busyLeaders = new Set<number>();
  /** Lanes whose last attempt failed: they are sent alone, so that an error is theirs for sure. */
  readonly #troubled = new Set<string>();
  readonly #inFlight = new Set<Promise<void>>();
  readonly #generations = new Set<ProducerGeneration>();
  #opening: Promise<ProducerGeneration> | undefined;
  #current: ProducerGeneration | undefined;
  readonly #stopped = new AbortController();

  constructor(private readonly deps: KafkaProducerDeps) {
    const { clock, config, metrics } = deps;
    this.#queue = new ProduceQueue({
      clock,
      maxQueuedBytes: config.maxQueuedBytes,
      maxBatchBytes: config.maxBatchBytes,
      maxWaitMs: config.produceTimeoutMs,
      lingerMs: config.lingerMs,
      send: (batches) => this.#send(batches),
      blocked: (topic, partition) => this.#blocked(topic, partition),
      onQueuedBytes: (bytes) => metrics.queuedBytes(bytes),
    });
  }

  /** Connects; throws what the client says when it can't. */
  async start(): Promise<void> {
    await this.#open();
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
    await Promise.all([...this.#generations].map((generation) => generation.close()));
  }

  #blocked(topic: string, partition: number): boolean {
    if (this.#troubled.has(laneName(topic, partition))) return false;
    const leader = this.deps.leaders.of(topic, partition);
    return leader !== undefined && this.#busyLeaders.has(leader);
  }

  #send(batches: readonly LaneBatch[]): void {
    const together = new Map<number, SealedBatch[]>();
    for (const batch of batches) {
      const sealed = seal(batch, this.deps.clock.now());
      const leader = this.deps.leaders.of(batch.topic, batch.partition);
      if (leader === undefined || this.#troubled.has(laneName(batch.topic, batch.partition))) {
        this.#track(this.#deliver([sealed], undefined));
        continue;
      }
      const others = together.get(leader);
      if (others) others.push(sealed);
      else together.set(leader, [sealed]);
    }
    for (const [leader, joined] of together) {
      this.#busyLeaders.add(leader);
      this.#track(this.#deliver(joined, leader));
    }
  }

  #track(delivery: Promise<void>): void {
    const tracked = delivery.finally(() => this.#inFlight.delete(tracked));
    this.#inFlight.add(tracked);
  }

  async #deliver(batches: readonly SealedBatch[], leader: number | undefined): Promise<void> {
    const { clock, config } = this.deps;
    const sinceMs = clock.monotonicMs();
    const oldestMs = Math.min(...batches.map(({ batch }) => batch.sinceMs));
    const untilMs = Math.max(oldestMs + config.produceTimeoutMs, sinceMs + LEAST_TRY_MS);
    const generation = await this.#generation(untilMs);
    let first: Attempt;
    if (generation) {
      generation.acquire();
      first = await this.#attempt(generation, batches, leader, untilMs);
    } else {
      first = { kind: 'unsent', cause: new Error('no connection to Kafka') };
    }
    if (leader !== undefined) this.#busyLeaders.delete(leader);
    this.#queue.retry();
    await Promise.all(batches.map((sealed) => this.#settle(sealed, first, generation, sinceMs, untilMs)));
    generation?.release();
  }

  /** Repeats one batch alone until it is written, rejected for good, or its time is over; then answers it. */
  async #settle(
    sealed: SealedBatch,
    first: Attempt,
    generation: ProducerGeneration | undefined,
    sinceMs: number,
    untilMs: number,
  ): Promise<void> {
    const { batch } = sealed;
    const lane = laneName(batch.topic, batch.partition);
    const backoff = new Backoff({ baseMs: 50, maxMs: 1_000 });
    let attempt = first;
    let ambiguous = false;
    while (attempt.kind !== 'written') {
      this.#troubled.add(lane);
      ambiguous ||= attempt.kind === 'ambiguous';
      const permanent = attempt.kind === 'rejected' && attempt.permanent;
      if (!generation || permanent || this.#over(untilMs)) break;
      await backoff.wait(this.#stopped.signal);
      if (this.#over(untilMs)) break;
      attempt = await this.#attempt(generation, [sealed], undefined, untilMs);
    }
    this.deps.onOutcome(attempt.kind === 'written' || attempt.kind === 'rejected');
    if (attempt.kind === 'written') {
      this.#troubled.delete(lane);
      this.#count(batch, 'ok', sinceMs);
      batch.done(attempt.baseOffsets.get(lane) ?? -1);
      return;
    }
    if (ambiguous) this.#spoil(generation);
    const error = failureOf(attempt, ambiguous, batch.given);
    this.deps.log.warn(
      { err: attempt.cause, topic: batch.topic, partition: batch.partition, records: batch.records.length },
      `records were not written: ${error.code}`,
    );
    this.#count(batch, error.code, sinceMs);
    batch.fail(error);
  }

  #over(untilMs: number): boolean {
    return this.#stopped.signal.aborted || this.deps.clock.monotonicMs() >= untilMs;
  }

  /** One attempt, given up at `untilMs`: then it may still be on its way. */
  async #attempt(
    generation: ProducerGeneration,
    batches: readonly SealedBatch[],
    leader: number | undefined,
    untilMs: number,
  ): Promise<Attempt> {
    const { signal } = this.#stopped;
    let giveUp = (): void => undefined;
    const givenUp = new Promise<Attempt>((resolve) => {
      giveUp = () => resolve({ kind: 'ambiguous', cause: new Error('Kafka did not answer in time') });
    });
    const timer = setTimeout(
      giveUp,
      signal.aborted ? 0 : Math.max(0, untilMs - this.deps.clock.monotonicMs()),
    );
    signal.addEventListener('abort', giveUp);
    try {
      return await Promise.race([generation.attempt(batches, leader), givenUp]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }

  #spoil(generation: ProducerGeneration | undefined): void {
    generation?.spoil();
    if (this.#current === generation) this.#current = undefined;
  }

  /** The producer that new batches begin on; undefined when there is none in time. */
  async #generation(untilMs: number): Promise<ProducerGeneration | undefined> {
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    while (!this.#over(untilMs)) {
      if (this.#current?.usable) return this.#current;
      const remainingMs = Math.max(0, untilMs - this.deps.clock.monotonicMs());
      try {
        const generation = await within(this.#open(), remainingMs);
        if (generation) return generation;
      } catch (error) {
        this.deps.onOutcome(false);
        this.deps.log.debug({ err: error }, 'no producer, repeating');
        await backoff.wait(this.#stopped.signal);
      }
    }
    return undefined;
  }

  #open(): Promise<ProducerGeneration> {
    const { config, leaders } = this.deps;
    this.#opening ??= ProducerGeneration.open(this.deps.makeClient(), leaders, requestTimeoutMs(config) - 50)
      .then((generation) => {
        for (const old of this.#generations) if (!old.usable) this.#generations.delete(old);
        this.#generations.add(generation);
        this.#current = generation;
        return generation;
      })
      .finally(() => {
        this.#opening = undefined;
      });
    return this.#opening;
  }

  #count(batch: LaneBatch, outcome: string, sinceMs: number): void {
    const seconds = (this.deps.clock.monotonicMs() - sinceMs) / 1_000;
    this.deps.metrics.produced(batch.topic, outcome, batch.records.length, batch.bytes, seconds);
  }
}

function failureOf(
  attempt: Exclude<Attempt, { kind: 'written' }>,
  ambiguous: boolean,
  records: number,
): HalleyError {
  const tooLarge = isTooLarge(attempt.cause)
    ? new RecordsTooLarge(records, { cause: attempt.cause })
    : undefined;
  const options = { cause: tooLarge ?? attempt.cause };
  if (ambiguous) return new HalleyError('bus_unknown', undefined, options);
  if (tooLarge) return tooLarge;
  if (attempt.kind === 'rejected' && attempt.permanent)
    return new HalleyError('bus_refused', 'The bus refuses the record by rule.', options);
  return new HalleyError('bus_refused', undefined, options);
}
