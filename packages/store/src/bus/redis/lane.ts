import { setTimeout as sleep } from 'node:timers/promises';

import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';

import type { ConsumeOptions, ReadBatch, TopicPartition } from '../bus.js';

/** A partition is looked at so often without being told of news: a hint may be lost. */
const POLL_MS = 1_000;

export interface RedisLaneDeps {
  readonly onBatch: ConsumeOptions['onBatch'];
  readonly log: Logger;
  /** Records from an offset on, perhaps none. */
  read(at: TopicPartition, offset: number): Promise<ReadBatch>;
  /** Whether the lease of the member holds now. */
  holds(): boolean;
  onConsumed(batch: ReadBatch): void;
}

/** One ownership of one partition: hands its batches to the handler one after another, until it is closed. */
export class RedisLane {
  readonly #closed = new AbortController();
  #waiting = new AbortController();
  /** There may be records that were not read. */
  #news = true;
  #paused = false;
  /** Counts seeks, so that a batch that was read before one is not the reason to go on behind it. */
  #seeks = 0;

  constructor(
    readonly at: TopicPartition,
    private position: number,
    private readonly deps: RedisLaneDeps,
  ) {}

  /** Runs until closed, once the handler of an earlier ownership of this partition has ended. */
  async run(predecessor: Promise<void>): Promise<void> {
    await predecessor;
    const backoff = new Backoff({ baseMs: 50, maxMs: 1_000 });
    while (!this.#closed.signal.aborted) {
      if (this.#paused || !this.#news) {
        await this.#wait();
        continue;
      }
      this.#news = false;
      const seeks = this.#seeks;
      let batch: ReadBatch;
      try {
        batch = await this.deps.read(this.at, this.position);
        backoff.reset();
      } catch (error) {
        this.#news = true;
        this.deps.log.debug({ err: error, ...this.at }, 'a partition was not read, repeating');
        await backoff.wait(this.#closed.signal);
        continue;
      }
      const last = batch.records.at(-1);
      if (last) this.#news = true;
      if (!last || this.#paused || seeks !== this.#seeks) continue;
      if (await this.#hand(batch, seeks)) this.position = last.offset + 1;
    }
  }

  /** There may be new records. */
  wake(): void {
    this.#news = true;
    this.#waiting.abort();
  }

  seek(offset: number): void {
    this.position = offset;
    this.#seeks += 1;
    this.wake();
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused) this.wake();
  }

  /** Hands over no more. What the handler has goes on. */
  close(): void {
    this.#closed.abort();
    this.#waiting.abort();
  }

  async #wait(): Promise<void> {
    this.#waiting = new AbortController();
    const { signal } = this.#waiting;
    // Aborted in between: there is no turn of the loop between the look and this.
    await sleep(POLL_MS, undefined, { signal, ref: false }).catch(() => undefined);
    this.#news = true;
  }

  /** Hands a batch over until the handler takes it; false when a seek, a loss or the end came first. */
  async #hand(batch: ReadBatch, seeks: number): Promise<boolean> {
    const backoff = new Backoff({ baseMs: 50, maxMs: 2_000 });
    while (!this.#closed.signal.aborted && seeks === this.#seeks) {
      if (!this.deps.holds()) {
        // The member finds that out too, and closes this.
        await backoff.wait(this.#closed.signal);
        return false;
      }
      try {
        await this.deps.onBatch(batch);
        this.deps.onConsumed(batch);
        return seeks === this.#seeks;
      } catch (error) {
        const { partition, topic } = batch;
        this.deps.log.warn({ err: error, topic, partition }, 'a batch was not taken, repeating');
        await backoff.wait(this.#closed.signal);
      }
    }
    return false;
  }
}
