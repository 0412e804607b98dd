import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { HalleyError } from '@halley/protocol/error';
import type { Archive } from '@halley/store/archive/archive';
import type { Streams } from '@halley/store/streams/streams';

import type { JobMetrics } from '../metrics.js';
import { Wakeup } from '../wakeup.js';
import { ArchiveLane, type ArchiveTimes } from './archive-lane.js';
import { ArchiveRound } from './archive-round.js';

export interface ArchiveLimits extends ArchiveTimes {
  /** Entries that one transaction takes, of all partitions together. */
  readonly maxEntries: number;
}

export interface ArchiverDeps {
  readonly streams: Pick<Streams, 'scan' | 'trim'>;
  readonly archive: Pick<Archive, 'watermarks' | 'store'>;
  /** The bus's. */
  readonly epoch: string;
  readonly limits: ArchiveLimits;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** What one of the two workers sleeps by. */
interface Watch {
  /** Woken when a lane is due earlier than that. */
  readonly changed: Wakeup;
  /** Until when it sleeps, in monotonic milliseconds; −Infinity while it works. */
  untilMs: number;
}

/** A round that failed is tried smaller, down to this part of what it may take. */
const LEAST_SHARE = 1 / 64;

/**
 * Takes what the partitions' streams hold to the archive, in order, and lets the streams go of it then: all partitions
 * in one round, as what a round costs hardly depends on how many there are. While the database is away it tries
 * again, and the streams keep everything. Several nodes may do so for one partition: the watermark moves only from where the
 * one who moves it has read it.
 *
 * When a round fails its partitions are tried one by one, each with pauses of its own, until they went well: one that
 * cannot be archived does not hold the others up.
 */
export class Archiver {
  readonly #lanes = new Set<ArchiveLane>();
  readonly #round: ArchiveRound;
  readonly #end = new AbortController();
  readonly #well: Watch = { changed: new Wakeup(), untilMs: -Infinity };
  readonly #troubled: Watch = { changed: new Wakeup(), untilMs: -Infinity };
  readonly #running: Promise<unknown>;
  /** Part of what a round may take, less after one that failed. */
  #share = 1;
  #away = false;

  constructor(private readonly deps: ArchiverDeps) {
    this.#round = new ArchiveRound(deps);
    this.#running = Promise.all([
      this.#work(
        this.#well,
        () => this.#together(),
        (lanes) => this.#archiveTogether(lanes),
      ),
      this.#work(
        this.#troubled,
        () => this.#alone(),
        (lanes) => this.#archiveAlone(lanes[0]!),
      ),
    ]);
  }

  /** Takes a partition in, until its lane is ended. */
  lane(shard: number): ArchiveLane {
    const { limits, clock } = this.deps;
    const lane = new ArchiveLane(shard, { times: limits, clock, changed: () => this.#wakeFor(lane) });
    this.#lanes.add(lane);
    this.#wakeFor(lane);
    return lane;
  }

  /** Ends its lanes; resolves when what was under way is over. */
  async end(): Promise<void> {
    this.#end.abort();
    this.#well.changed.wake();
    this.#troubled.changed.wake();
    await Promise.all([...this.#lanes].map((lane) => lane.end()));
    await this.#running;
  }

  #wakeFor(lane: ArchiveLane): void {
    const { changed, untilMs } = lane.failures > 0 ? this.#troubled : this.#well;
    if (lane.dueAtMs() < untilMs) changed.wake();
  }

  /** Takes what is due, round after round. */
  async #work(
    watch: Watch,
    choose: () => readonly ArchiveLane[],
    archive: (lanes: readonly ArchiveLane[]) => Promise<void>,
  ): Promise<void> {
    while (!this.#end.signal.aborted) {
      for (const lane of this.#lanes) if (lane.ended) this.#lanes.delete(lane);
      const lanes = choose();
      const dueAtMs = Math.min(...lanes.map((lane) => lane.dueAtMs()));
      const waitMs = dueAtMs - this.deps.clock.monotonicMs();
      if (waitMs > 0) {
        watch.untilMs = dueAtMs;
        await watch.changed.wait(waitMs);
      } else {
        watch.untilMs = -Infinity;
        await archive(lanes.filter((lane) => lane.dueAtMs() < Infinity));
      }
    }
  }

  /** What goes into the next round, the longest due first: what waits at all, and what is due soon after. */
  #together(): readonly ArchiveLane[] {
    const soonMs = this.deps.clock.monotonicMs() + this.deps.limits.idleMs / 2;
    const well = [...this.#lanes].filter(({ failures }) => failures === 0);
    const first = Math.min(...well.map((lane) => lane.dueAtMs()));
    return well
      .filter((lane) => lane.waits || lane.dueAtMs() <= Math.max(first, soonMs))
      .sort((one, other) => (one.dueAtMs() < other.dueAtMs() ? -1 : 1));
  }

  /** Of those that failed, the one that is due first. */
  #alone(): readonly ArchiveLane[] {
    let first: ArchiveLane | undefined;
    for (const lane of this.#lanes) {
      if (lane.failures > 0 && (!first || lane.dueAtMs() < first.dueAtMs())) first = lane;
    }
    return first ? [first] : [];
  }

  async #archiveTogether(lanes: readonly ArchiveLane[]): Promise<void> {
    const failures = await this.#round.run(lanes, this.#share);
    const failed = failures.length === lanes.length;
    this.#share = failed ? Math.max(LEAST_SHARE, this.#share / 2) : Math.min(1, this.#share * 2);
    this.#count(failures);
    const [first] = failures;
    if (!first) return;
    this.#away = true;
    this.deps.log.warn(
      { err: first.error, partitions: failures.map(({ lane }) => lane.shard) },
      'streams cannot be archived, trying again',
    );
  }

  async #archiveAlone(lane: ArchiveLane): Promise<void> {
    const failures = await this.#round.run([lane], 2 ** -lane.failures);
    this.#count(failures);
    const [failure] = failures;
    if (failure) {
      this.deps.log.debug({ err: failure.error, partition: lane.shard }, 'streams cannot be archived yet');
    } else if (this.#away && [...this.#lanes].every(({ failures: left }) => left === 0)) {
      this.#away = false;
      this.deps.log.info('streams are archived again');
    }
  }

  /** Once for what failed together. */
  #count(failures: readonly { readonly error: unknown }[]): void {
    for (const error of new Set(failures.map((failure) => failure.error)))
      this.deps.metrics.archiveFailures.inc({ code: HalleyError.from(error).code });
  }
}
