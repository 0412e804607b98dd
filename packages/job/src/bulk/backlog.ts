import type { Clock } from '@halley/service/clock';
import { type Bus, Topic } from '@halley/store/bus/bus';

/** What a job knows of a partition of halley-push that it reads itself. */
export interface ReadPartition {
  /** Whether it waits for a store. */
  readonly inTrouble: boolean;
  /** Unix milliseconds at which the bus took the oldest record that is not done; undefined when all are. */
  readonly oldestUndoneMs: number | undefined;
}

export interface BacklogDeps {
  readonly bus: Pick<Bus, 'lags'>;
  /** The group that reads halley-push. */
  readonly pushGroup: string;
  /** Undefined where another job reads it. */
  readonly reads: (partition: number) => ReadPartition | undefined;
  /** A partition with an older push that is not done has more than enough. */
  readonly maxAgeMs: number;
  readonly clock: Clock;
}

/** For so long an answer of the bus is believed. */
const BELIEVED_MS = 50;

/**
 * How much of halley-push waits, by partition: what the group that reads it has not committed, and, where this job reads it, how
 * old that is.
 */
export class Backlog {
  #asked: Promise<ReadonlyMap<number, number>> | undefined;
  #askedAtMs = -Infinity;

  constructor(private readonly deps: BacklogDeps) {}

  /** Records; Infinity where they wait for too long. Throws `bus_unknown`. */
  async of(partition: number): Promise<number> {
    const lag = (await this.#lags()).get(partition) ?? 0;
    const { reads, maxAgeMs, clock } = this.deps;
    const read = reads(partition);
    if (!read) return lag;
    const oldestMs = read.oldestUndoneMs ?? Infinity;
    return read.inTrouble || clock.now() - oldestMs > maxAgeMs ? Infinity : lag;
  }

  /** Partitions that ask at about the same time share an answer. */
  #lags(): Promise<ReadonlyMap<number, number>> {
    const { bus, pushGroup, clock } = this.deps;
    const now = clock.monotonicMs();
    if (!this.#asked || now - this.#askedAtMs >= BELIEVED_MS) {
      this.#askedAtMs = now;
      this.#asked = bus.lags(pushGroup, Topic.Push);
      this.#asked.catch(() => {
        this.#askedAtMs = -Infinity;
      });
    }
    return this.#asked;
  }
}
