import { Backoff } from '@halley/service/backoff';
import type { Logger } from '@halley/service/log';

interface Pending {
  offset: number;
  readonly waiters: (() => void)[];
}

/** `Lane` is one ownership of one partition. */
export interface CommitsDeps<Lane> {
  readonly log: Logger;
  /** Stores offsets in one go. Throws when they are not stored. */
  readonly store: (offsets: readonly { readonly lane: Lane; readonly offset: number }[]) => Promise<void>;
  /** Whether this ownership still is the partition's. */
  readonly current: (lane: Lane) => boolean;
}

/** Commits of one group member: one request at a time, with the newest offset of each partition. */
export class Commits<Lane extends object> {
  readonly #pending = new Map<Lane, Pending>();
  #flushing: Promise<void> | undefined;

  constructor(private readonly deps: CommitsDeps<Lane>) {}

  /** Resolves when this offset or a higher one is stored, or when the partition is another's. */
  commit(lane: Lane, offset: number): Promise<void> {
    return new Promise((resolve) => {
      const pending = this.#pending.get(lane);
      if (pending) {
        pending.offset = Math.max(pending.offset, offset);
        pending.waiters.push(resolve);
      } else {
        this.#pending.set(lane, { offset, waiters: [resolve] });
      }
      this.#flushing ??= this.#flush();
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
      if (batch.length === 0) {
        // Not later: what is asked for in between would wait for the next one.
        this.#flushing = undefined;
        return;
      }
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
  #settle(lane: Lane, offset: number): void {
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
