import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';

import type { RedisLane } from './lane.js';

interface Pending {
  offset: number;
  readonly waiters: (() => void)[];
}

export interface RedisCommitsDeps {
  readonly log: Logger;
  /** Stores offsets in one go. */
  store(offsets: readonly { readonly lane: RedisLane; readonly offset: number }[]): Promise<void>;
  /** Whether this ownership still is the partition's. */
  current(lane: RedisLane): boolean;
}

/** Commits of one group member: one request at a time, with the newest offset of each partition. */
export class RedisCommits {
  #pending = new Map<RedisLane, Pending>();
  #flushing: Promise<void> | undefined;

  constructor(private readonly deps: RedisCommitsDeps) {}

  commit(lane: RedisLane, offset: number): Promise<void> {
    return new Promise((resolve) => {
      const pending = this.#pending.get(lane);
      if (pending) {
        pending.offset = Math.max(pending.offset, offset);
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
      const batch = [...this.#pending].map(([lane, { offset }]) => ({ lane, offset }));
      if (batch.length === 0) return;
      try {
        await this.deps.store(batch);
      } catch (error) {
        this.deps.log.debug({ err: error }, 'commit failed, repeating');
        await backoff.wait();
        continue;
      }
      backoff.reset();
      for (const { lane, offset } of batch) this.#settle(lane, offset);
    }
  }

  /** What came meanwhile with a higher offset takes another turn. */
  #settle(lane: RedisLane, offset: number): void {
    const pending = this.#pending.get(lane);
    if (!pending || pending.offset > offset) return;
    this.#pending.delete(lane);
    for (const resolve of pending.waiters) resolve();
  }

  #dropForeign(): void {
    for (const [lane, { waiters }] of this.#pending) {
      if (this.deps.current(lane)) continue;
      this.#pending.delete(lane);
      for (const resolve of waiters) resolve();
    }
  }
}
