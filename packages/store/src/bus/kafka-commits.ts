import type { Consumer } from 'kafkajs';
import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';
import type { KafkaLane } from './kafka-lane.js';

interface Pending {
  offset: number;
  readonly waiters: (() => void)[];
}

export interface KafkaCommitsDeps {
  readonly log: Logger;
  /** The client that is joined now, if any. */
  consumer(): Consumer | undefined;
  /** Whether this ownership still is the partition's. */
  current(lane: KafkaLane): boolean;
}

/** Commits of one group member: one request at a time, with the newest offset of each partition. */
export class KafkaCommits {
  #pending = new Map<KafkaLane, Pending>();
  #flushing: Promise<void> | undefined;
  #stored = 0;

  constructor(private readonly deps: KafkaCommitsDeps) {}

  /** Told by the client's event: the call alone resolves as well when the client is not running and did nothing. */
  onStored(): void {
    this.#stored += 1;
  }

  commit(lane: KafkaLane, offset: number): Promise<void> {
    return new Promise((resolve) => {
      const pending = this.#pending.get(lane);
      if (pending) {
        pending.offset = offset;
        pending.waiters.push(resolve);
      } else {
        this.#pending.set(lane, { offset, waiters: [resolve] });
      }
      this.#flushing ??= this.#flush().finally(() => {
        this.#flushing = undefined;
      });
    });
  }

  /** Resolves when nothing is on its way. */
  async idle(): Promise<void> {
    await this.#flushing;
  }

  async #flush(): Promise<void> {
    const backoff = new Backoff({ baseMs: 50, maxMs: 1_000 });
    // What is asked for in this turn goes along.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    for (;;) {
      this.#dropForeign();
      if (this.#pending.size === 0) return;
      const batch = this.#pending;
      this.#pending = new Map();
      if (await this.#store(batch)) {
        for (const { waiters } of batch.values()) for (const resolve of waiters) resolve();
        backoff.reset();
        continue;
      }
      this.#putBack(batch);
      await backoff.wait();
    }
  }

  async #store(batch: ReadonlyMap<KafkaLane, Pending>): Promise<boolean> {
    const before = this.#stored;
    try {
      await this.deps
        .consumer()
        ?.commitOffsets([...batch].map(([{ at }, { offset }]) => ({ ...at, offset: String(offset) })));
      return this.#stored > before;
    } catch (error) {
      this.deps.log.debug({ err: error }, 'commit failed, repeating');
      return false;
    }
  }

  /** A newer offset of the same partition stays. */
  #putBack(batch: ReadonlyMap<KafkaLane, Pending>): void {
    for (const [lane, { offset, waiters }] of batch) {
      const newer = this.#pending.get(lane);
      if (newer) newer.waiters.push(...waiters);
      else this.#pending.set(lane, { offset, waiters });
    }
  }

  #dropForeign(): void {
    for (const [lane, { waiters }] of this.#pending) {
      if (this.deps.current(lane)) continue;
      this.#pending.delete(lane);
      for (const resolve of waiters) resolve();
    }
  }
}
