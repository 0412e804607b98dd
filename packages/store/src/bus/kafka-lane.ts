import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';
import type { ConsumeOptions, ReadRecord, TopicPartition } from './bus.js';

/** Bytes of a partition that wait for its handler; beyond, it is not fetched. */
const MAX_WAITING_BYTES = 1_048_576;

export interface KafkaLaneDeps {
  readonly onBatch: ConsumeOptions['onBatch'];
  readonly log: Logger;
  /** Fetch this partition, or don't. */
  fetch(wanted: boolean): void;
  /** Fetch from here on. */
  seek(offset: number): void;
  onConsumed(records: number, bytes: number): void;
}

/**
 * One ownership of one partition. It takes fetched records at once, so that fetching and heartbeats go on however
 * long a handler takes, and hands what has come to the handler, one batch after another. It keeps its own position and
 * takes only what was fetched from there, so that nothing is skipped whatever the client does.
 */
export class KafkaLane {
  #waiting: ReadRecord[] = [];
  #waitingBytes = 0;
  #highWatermark = 0;
  /** The offset that is fetched next; undefined until it is known. */
  #expected: number | undefined;
  /** The position of a fetch that was not expected: when it comes again, records are missing in between. */
  #strange: number | undefined;
  #pausedByOwner = false;
  #seeks = 0;
  #wake: (() => void) | undefined;
  readonly #closed = new AbortController();

  constructor(
    readonly at: TopicPartition,
    private readonly deps: KafkaLaneDeps,
  ) {}

  /** Begins at `offset`. */
  begin(offset: number): void {
    if (this.#expected === undefined) this.#moveTo(offset);
  }

  /** Takes fetched records over; false when they are not what is to come, and then they count as not fetched. */
  offer(fetchedFrom: number, records: readonly ReadRecord[], bytes: number, highWatermark: number): boolean {
    const last = records.at(-1);
    if (this.#closed.signal.aborted || this.#expected === undefined || !last) return false;
    if (fetchedFrom !== this.#expected && this.#strange !== fetchedFrom) {
      this.#strange = fetchedFrom;
      this.deps.seek(this.#expected);
      return false;
    }
    if (fetchedFrom !== this.#expected) {
      const gap = { ...this.at, expected: this.#expected, found: fetchedFrom };
      this.deps.log.warn(gap, 'the partition has no records where reading was to go on');
    }
    this.#strange = undefined;
    this.#expected = last.offset + 1;
    this.#waiting.push(...records);
    this.#waitingBytes += bytes;
    this.#highWatermark = highWatermark;
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.deps.fetch(false);
    this.#wake?.();
    return true;
  }

  seek(offset: number): void {
    this.#seeks += 1;
    this.#moveTo(offset);
  }

  pause(paused: boolean): void {
    this.#pausedByOwner = paused;
    this.#fetchIfWanted();
    this.#wake?.();
  }

  /** Takes and hands over no more. What the handler has goes on. */
  close(): void {
    this.#closed.abort();
    this.#waiting = [];
    this.#wake?.();
  }

  /** Runs until closed, once the handler of an earlier ownership of this partition has ended. */
  async run(predecessor: Promise<void>): Promise<void> {
    await predecessor;
    while (!this.#closed.signal.aborted) {
      if (this.#pausedByOwner || this.#waiting.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const records = this.#waiting;
      const bytes = this.#waitingBytes;
      this.#waiting = [];
      this.#waitingBytes = 0;
      this.#fetchIfWanted();
      await this.#hand(records, bytes);
    }
  }

  async #hand(records: readonly ReadRecord[], bytes: number): Promise<void> {
    const { partition, topic } = this.at;
    const backoff = new Backoff({ baseMs: 50, maxMs: 2_000 });
    const seeks = this.#seeks;
    const batch = { topic, partition, records, highWatermark: this.#highWatermark };
    while (!this.#closed.signal.aborted && seeks === this.#seeks) {
      try {
        await this.deps.onBatch(batch);
        this.deps.onConsumed(records.length, bytes);
        return;
      } catch (error) {
        this.deps.log.warn({ err: error, topic, partition }, 'a batch was not taken, repeating');
        await backoff.wait(this.#closed.signal);
      }
    }
  }

  #moveTo(offset: number): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#strange = undefined;
    this.#expected = offset;
    this.deps.seek(offset);
    this.#fetchIfWanted();
  }

  #fetchIfWanted(): void {
    if (this.#closed.signal.aborted || this.#expected === undefined) return;
    this.deps.fetch(!this.#pausedByOwner && this.#waitingBytes <= MAX_WAITING_BYTES);
  }
}
