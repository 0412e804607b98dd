import { HalleyError } from '@halley/protocol/error';
import { Backoff } from '@halley/service/backoff';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import type { Archive } from '@halley/store/archive/archive';
import type { RouteAnswer } from '@halley/store/routes/routes';
import type { AppendAnswer, AppendBatch, Position, Streams } from '@halley/store/streams/streams';

import type { JobMetrics } from '../metrics.js';
import { durablePushesOf, fatesOf, followedIn, type Fates } from './append-batch.js';
import { endOf, type Item } from './chunk.js';
import type { Ownership } from './ownership.js';
import { MAX_PUSHES_PER_RECORD, positionOf } from './push-record.js';

export interface AppenderDeps {
  readonly streams: Pick<Streams, 'append' | 'restore' | 'state'>;
  readonly archive: Pick<Archive, 'watermark'>;
  /** The bus's. */
  readonly epoch: string;
  /** Partitions of the topic. */
  readonly shards: number;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** What the appender tells its lane. */
export interface AppenderLane {
  /** The partition is to be read on from this offset. */
  seek(offset: number): void;
  /** The streams have everything up to here; `durable` when entries came with it. */
  onAppended(through: Position, durable: boolean): void;
  /** Up to where the partition is known to be archived. */
  archived(): Position | undefined;
}

/** What became of records that were taken in. */
export interface Taken {
  readonly fates: Fates;
  /** Of their users and rooms in this shard, where they were read along. */
  readonly routes: RouteAnswer | undefined;
}

/** What is waited for. */
export type Trouble = 'streams' | 'streams_full' | 'archive';

/**
 * Takes one partition's records into the streams, each once and in order. A batch that fails is repeated as it is, for as
 * long as it takes: nothing is stepped over. Where the streams know less than was read, the partition is read again from
 * what they know, or from what the archive has when they know nothing.
 */
export class Appender {
  /** Up to where this job has read the partition; undefined before its first batch. */
  #before: Position | undefined;
  #rewinds = 0;
  #trouble: Trouble | undefined;
  /** When the streams last answered. */
  #answeredAtMs = -Infinity;
  readonly #log: Logger;

  constructor(
    private readonly own: Ownership,
    private readonly lane: AppenderLane,
    private readonly deps: AppenderDeps,
  ) {
    this.#log = deps.log.child({ topic: own.topic, partition: own.partition });
  }

  /** The first offset that was not taken in yet. */
  get next(): number {
    return this.#before === undefined ? 0 : Math.floor((this.#before + 1) / MAX_PUSHES_PER_RECORD);
  }

  /** How often the partition was to be read again: what was polled before is stale then. */
  get rewinds(): number {
    return this.#rewinds;
  }

  get trouble(): Trouble | undefined {
    return this.#trouble;
  }

  /** Takes records in; undefined when they are to be read again, from where the lane was told to seek. */
  async take(chunk: readonly Item[]): Promise<Taken | undefined> {
    const { epoch, shards } = this.deps;
    const { partition } = this.own;
    const routesOf = followedIn(chunk, { partition, shards });
    const batch: AppendBatch = {
      shard: partition,
      epoch,
      before: this.#before ?? positionOf(chunk[0]!.read.offset, 0) - 1,
      through: endOf(chunk.at(-1)!.read),
      pushes: durablePushesOf(chunk),
      ...(routesOf && { routesOf }),
    };
    const answer = await this.#append(batch);
    switch (answer.outcome) {
      case 'empty':
        await this.#restore();
        return undefined;
      case 'behind':
        this.#readFrom(answer.applied, 'behind');
        return undefined;
      case 'appended':
        this.#before = batch.through;
        this.lane.onAppended(answer.applied, answer.entries.length > 0);
        this.#count(batch, answer);
        return { fates: fatesOf(chunk, answer), routes: answer.routes };
    }
  }

  /**
   * Looks whether the streams still have what was taken in: a partition that nothing is written to would not tell. When
   * they cannot be asked, the next batch will.
   */
  async probe(idleMs: number): Promise<void> {
    const { streams, epoch, clock } = this.deps;
    const now = clock.monotonicMs();
    if (now - this.#answeredAtMs < idleMs) return;
    let state;
    try {
      state = await streams.state(this.own.partition, epoch);
    } catch (error) {
      this.#log.debug({ err: error }, 'the streams could not be asked');
      return;
    }
    this.own.require();
    this.#answeredAtMs = now;
    const before = this.#before ?? this.lane.archived();
    if (!state) await this.#restore();
    else if (before !== undefined && state.applied < before) this.#readFrom(state.applied, 'behind');
  }

  async #append(batch: AppendBatch): Promise<AppendAnswer> {
    const { streams, clock, metrics } = this.deps;
    const answer = await this.#repeat('streams', async () => {
      const since = clock.monotonicMs();
      const answered = await streams.append(batch);
      metrics.appendSeconds.observe((clock.monotonicMs() - since) / 1_000);
      return answered;
    });
    this.#answeredAtMs = clock.monotonicMs();
    return answer;
  }

  /** The streams know nothing of the partition: they begin again where the archive ends. */
  async #restore(): Promise<void> {
    const { streams, archive, epoch } = this.deps;
    const { partition } = this.own;
    const watermark = await this.#repeat('archive', () => archive.watermark(partition, epoch));
    await this.#repeat('streams', () => streams.restore(partition, epoch, watermark));
    this.#readFrom(watermark, 'empty');
  }

  /** A record whose pushes were not all taken in is read again as a whole. */
  #readFrom(position: Position, why: 'empty' | 'behind'): void {
    const offset = Math.floor((position + 1) / MAX_PUSHES_PER_RECORD);
    // A job that begins expects nothing.
    const level = this.#before === undefined ? 'debug' : 'warn';
    this.#log[level](
      { why, offset, next: this.next },
      'the streams know less than was read: the partition is read again',
    );
    this.deps.metrics.rewinds.inc({ why });
    this.lane.seek(offset);
    this.#before = positionOf(offset, 0) - 1;
    this.#rewinds += 1;
  }

  /** Calls until there is an answer. Throws only when the partition is not this job's any more, also after an answer. */
  async #repeat<Answer>(store: 'streams' | 'archive', call: () => Promise<Answer>): Promise<Answer> {
    const backoff = new Backoff({ baseMs: 100, maxMs: 1_000 });
    for (;;) {
      this.own.require();
      try {
        const answer = await call();
        if (this.#trouble) this.#log.info({ was: this.#trouble }, 'pushes are taken in again');
        this.#trouble = undefined;
        this.own.require();
        return answer;
      } catch (error) {
        this.own.require();
        const { code } = HalleyError.from(error);
        this.deps.metrics.appendFailures.inc({ store, code });
        const trouble = code === 'store_full' ? 'streams_full' : store;
        if (trouble !== this.#trouble)
          this.#log.warn({ err: error, waitsFor: trouble }, 'pushes cannot be taken in, waiting');
        this.#trouble = trouble;
        await backoff.wait(this.own.signal);
      }
    }
  }

  #count(
    { pushes }: AppendBatch,
    { entries, repeated }: Extract<AppendAnswer, { outcome: 'appended' }>,
  ): void {
    if (pushes.length === 0) return;
    const { appended } = this.deps.metrics;
    let fresh = 0;
    let last: Position | undefined;
    for (const { position } of entries) {
      if (position !== last) fresh += 1;
      last = position;
    }
    const conflicts = repeated.filter(({ conflict }) => conflict);
    appended.inc({ result: 'entry' }, fresh);
    appended.inc({ result: 'repeated' }, repeated.length - conflicts.length);
    appended.inc({ result: 'conflict' }, conflicts.length);
    appended.inc({ result: 'known' }, pushes.length - fresh - repeated.length);
    for (const { id, position } of conflicts) {
      const caller = pushes.find((push) => push.position === position)?.caller;
      this.#log.warn({ id, caller, position }, 'a push came under the id of another one, and was dropped');
    }
  }
}
