import type { ReadBatch } from '@halley/store/bus/bus';
import type { RouteAnswer } from '@halley/store/routes/routes';
import type { Shard } from '@halley/store/shard';

import type { DeadLetters } from './dead-letter.js';
import { Appender, type AppenderDeps, type AppenderLane, type Trouble } from './appender.js';
import { type Item, nextChunk } from './chunk.js';
import type { Fates } from './append-batch.js';
import { Dispatcher, type DispatcherDeps, type Pending } from './dispatcher.js';
import { Offsets, type WindowLimits } from './offsets.js';
import { Ownership } from './ownership.js';

export interface LaneLimits extends WindowLimits {
  /** A full window that holds records of a lagging comet is waited for this long. */
  readonly maxStallMs: number;
}

export interface LaneDeps extends AppenderDeps, DispatcherDeps {
  readonly deadLetters: Pick<DeadLetters, 'write'>;
  readonly limits: LaneLimits;
}

/** What a lane waits for. */
export type LaneTrouble = Trouble | 'routes';

/**
 * Takes one partition's records into their streams, and then to the comets, in order. Trouble with a store or with
 * halley-dead holds the lane; nothing is stepped over, and nothing is committed that is not done.
 */
export class Lane {
  readonly offsets: Offsets;
  readonly #own: Ownership;
  readonly #shard: Shard;
  readonly #appender: Appender;
  readonly #dispatcher: Dispatcher;
  /** Records taken in and not yet on their way. */
  readonly #pending: Pending[] = [];
  /** The batch or probe in hand. */
  #turn: Promise<void> = Promise.resolve();
  #inHand = 0;

  constructor(
    readonly topic: string,
    readonly partition: number,
    place: AppenderLane,
    private readonly deps: LaneDeps,
  ) {
    this.#own = new Ownership(topic, partition);
    this.#shard = { partition, shards: deps.shards };
    this.offsets = new Offsets(deps.limits, () => deps.changed.wake());
    this.#appender = new Appender(this.#own, place, deps);
    this.#dispatcher = new Dispatcher(this.#own, this.offsets, deps);
  }

  /** What the lane waits for; undefined while it goes on. */
  get trouble(): LaneTrouble | undefined {
    return this.#appender.trouble ?? (this.#dispatcher.withoutRoutes ? 'routes' : undefined);
  }

  /**
   * Resolves when the records are in their streams and on their way, or are to be read again from elsewhere. Trouble is
   * waited for; rejects only when the lane ended meanwhile.
   */
  take(batch: ReadBatch): Promise<void> {
    const { rewinds } = this.#appender;
    return this.#next(async () => {
      // A probe that was in hand may have found that other records come first.
      if (rewinds === this.#appender.rewinds) await this.#take(batch);
    });
  }

  /** Looks after `idleMs` without a batch whether the streams still have what was taken in. */
  async probe(idleMs: number): Promise<void> {
    if (this.#inHand > 0 || this.#own.ended) return;
    await this.#next(() => this.#appender.probe(idleMs));
  }

  /** Takes nothing more, and lets go of what it waits for. What was offered to comets is delivered all the same. */
  end(): void {
    this.#own.end();
    this.deps.changed.wake();
  }

  /** Resolves when nothing is in hand and every record is done. */
  async drained(): Promise<void> {
    await this.#turn.catch(() => undefined);
    while (this.offsets.undone > 0) await this.deps.changed.wait();
  }

  /** One batch or probe at a time. */
  #next(work: () => Promise<void>): Promise<void> {
    this.#inHand += 1;
    this.#turn = this.#turn
      .catch(() => undefined)
      .then(work)
      .finally(() => (this.#inHand -= 1));
    return this.#turn;
  }

  async #take({ records }: ReadBatch): Promise<void> {
    await this.#windowOpen();
    // A batch that comes again may have been taken in, in part, and not be on its way.
    await this.#dispatchPending();
    let rest = records.filter(({ offset }) => offset >= this.#appender.next);
    while (rest.length > 0) {
      const chunk = nextChunk(rest, this.#shard);
      const taken = await this.#appender.take(chunk);
      if (!taken) return;
      this.#track(chunk, taken.fates);
      await this.#dispatchPending(taken.routes);
      rest = rest.slice(chunk.length);
    }
  }

  /** What is read again was on its way before; it only had to be taken in again. */
  #track(chunk: readonly Item[], fates: Fates): void {
    const fresh = chunk.filter(({ read }) => read.offset > this.offsets.last);
    for (const item of fresh) {
      const { offset, value, timestampMs } = item.read;
      this.#pending.push({
        ...item,
        fates,
        record: this.offsets.open(offset, value.byteLength, timestampMs),
      });
    }
    this.deps.metrics.records.inc({ topic: this.topic }, fresh.length);
  }

  /** `routes` were just read along with the append of what is pending; what is left after the first go asks for its own. */
  async #dispatchPending(routes?: RouteAnswer): Promise<void> {
    for (let read = routes; this.#pending.length > 0; read = undefined) {
      const bad = await this.#dispatcher.dispatch(this.#pending, read);
      if (!bad?.why) continue;
      await this.deps.deadLetters.write(this.#own, bad.read, bad.why, this.#own.signal);
      this.#own.require();
      this.offsets.release(bad.record);
    }
  }

  /**
   * Waits until the span of undone records has room. When it does not within `maxStallMs`, comets that lag lose what
   * they hold of this lane, so that they stop only themselves.
   */
  async #windowOpen(): Promise<void> {
    const { clock, links, changed, limits, log } = this.deps;
    let since = clock.monotonicMs();
    for (this.#own.require(); this.offsets.full; this.#own.require()) {
      if (clock.monotonicMs() - since >= limits.maxStallMs) {
        const lost = links.relieve(this.#own.name);
        if (lost > 0)
          log.warn(
            { topic: this.topic, partition: this.partition, lost },
            'comets that lag lose what they hold of this partition',
          );
        since = clock.monotonicMs();
      }
      if (this.offsets.full) await changed.wait();
    }
  }
}
