import { atMost } from '@halley/service/at-most';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import {
  type Bus,
  type BusConsumer,
  type ReadBatch,
  Topic,
  type TopicPartition,
} from '@halley/store/bus/bus';
import type { Position } from '@halley/store/streams/streams';

import type { ArchiveLane } from '../archive/archive-lane.js';
import { Archiver, type ArchiverDeps } from '../archive/archiver.js';
import type { ReadPartition } from '../bulk/backlog.js';
import type { JobMetrics } from '../metrics.js';
import { Lane, type LaneDeps } from './lanes.js';
import { LaneEnded } from './ownership.js';
import { MAX_PUSHES_PER_RECORD } from './push-record.js';

export interface PushConsumerDeps {
  readonly bus: Pick<Bus, 'consume'>;
  readonly group: string;
  readonly lane: LaneDeps;
  readonly archive: ArchiverDeps;
  readonly commitIntervalMs: number;
  /** A partition that nothing came from for this long is looked after. */
  readonly probeIntervalMs: number;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

interface OwnedLane {
  readonly lane: Lane;
  readonly archive: ArchiveLane;
  committed: number | undefined;
  committing: Promise<void>;
}

/**
 * The member of the group that reads halley-push: a lane for each partition that it owns, and one archiver for
 * all. What is done and archived is committed on a timer and at the end. When a partition goes to another job, that one reads
 * again what was done since the last commit, and comets drop what they have had.
 */
export class PushConsumer implements Service {
  readonly name = 'push consumer';
  readonly #lanes = new Map<number, OwnedLane>();
  readonly #archiver: Archiver;
  #consumer: BusConsumer | undefined;
  #timers: NodeJS.Timeout[] = [];
  #stopping = false;

  constructor(private readonly deps: PushConsumerDeps) {
    this.#archiver = new Archiver(deps.archive);
  }

  async start(): Promise<void> {
    const { bus, group, commitIntervalMs, probeIntervalMs } = this.deps;
    this.#consumer = await bus.consume({
      group,
      topics: [Topic.Push],
      from: 'earliest',
      onBatch: async (batch) => {
        if (this.#stopping) throw new LaneEnded(`${batch.topic}/${batch.partition}`);
        await this.#laneOf(batch).lane.take(batch);
      },
      onAssigned: (partitions) => {
        for (const at of partitions) this.#laneOf(at);
      },
      onRevoked: (partitions) => this.#revoked(partitions),
    });
    this.#timers = [
      setInterval(() => void this.commit(), commitIntervalMs),
      setInterval(() => this.#probe(), probeIntervalMs),
    ];
  }

  /** Takes nothing more, waits for what is in flight for at most half of the deadline, commits, and leaves. */
  async stop(deadlineMs: number): Promise<void> {
    const consumer = this.#consumer;
    for (const timer of this.#timers) clearInterval(timer);
    if (!consumer) return;
    this.#consumer = undefined;
    this.#stopping = true;
    const until = this.deps.clock.monotonicMs() + deadlineMs;
    consumer.pause(consumer.assigned());
    const owned = [...this.#lanes.values()];
    await atMost(Promise.all(owned.map(({ lane }) => lane.drained())), deadlineMs / 2);
    for (const { lane } of owned) lane.end();
    await atMost(Promise.all(owned.map(({ archive }) => archive.flush())), deadlineMs / 8);
    await atMost(this.#commitAll(consumer), deadlineMs / 8);
    await atMost(this.#archiver.end(), deadlineMs / 8);
    await consumer.stop(Math.max(0, until - this.deps.clock.monotonicMs()));
    this.#lanes.clear();
  }

  /** Commits what is done; resolves when it is stored. */
  async commit(): Promise<void> {
    if (this.#consumer) await this.#commitAll(this.#consumer);
  }

  /** Whether it has joined its group and reads. */
  get joined(): boolean {
    return this.#consumer?.healthy() ?? false;
  }

  /** Unix milliseconds at which the bus took the oldest record that is not done; undefined when all are. */
  get oldestUndoneMs(): number | undefined {
    const times = this.lanes.flatMap(({ offsets }) => offsets.oldestTimestampMs ?? []);
    return times.length > 0 ? Math.min(...times) : undefined;
  }

  /** How a partition stands that is read here; undefined where another job reads it. */
  reads(partition: number): ReadPartition | undefined {
    const lane = this.#lanes.get(partition)?.lane;
    return lane && { inTrouble: lane.trouble !== undefined, oldestUndoneMs: lane.offsets.oldestTimestampMs };
  }

  /** For how long the oldest entry that is not archived has waited, in milliseconds; 0 when all are. */
  get archiveLagMs(): number {
    return Math.max(0, ...[...this.#lanes.values()].map(({ archive }) => archive.lagMs));
  }

  /** Up to where the partitions owned are archived, where that is known. */
  get watermarks(): [partition: number, position: Position][] {
    return [...this.#lanes].flatMap(
      ([
        partition,
        {
          archive: { watermark },
        },
      ]) => (watermark === undefined ? [] : [[partition, watermark]]),
    );
  }

  /** One for each partition owned. */
  get lanes(): Lane[] {
    return [...this.#lanes.values()].map(({ lane }) => lane);
  }

  async #commitAll(consumer: BusConsumer): Promise<void> {
    await Promise.all([...this.#lanes.values()].map((owned) => this.#commit(consumer, owned)));
  }

  async #commit(consumer: BusConsumer, owned: OwnedLane): Promise<void> {
    const offset = committable(owned);
    if (offset === undefined || (owned.committed !== undefined && offset <= owned.committed)) return;
    // One after another: a slow earlier one must not undo a later one.
    owned.committed = offset;
    owned.committing = owned.committing.then(async () => {
      const { clock, metrics, log } = this.deps;
      const since = clock.monotonicMs();
      try {
        await consumer.commit(owned.lane.topic, owned.lane.partition, offset);
        metrics.commitSeconds.observe((clock.monotonicMs() - since) / 1_000);
      } catch (error) {
        if (owned.committed === offset) owned.committed = undefined;
        log.warn({ err: error, topic: owned.lane.topic, partition: owned.lane.partition }, 'commit failed');
      }
    });
    await owned.committing;
  }

  #laneOf({ topic, partition }: TopicPartition | ReadBatch): OwnedLane {
    let owned = this.#lanes.get(partition);
    if (!owned) {
      const archive = this.#archiver.lane(partition);
      const place = {
        seek: (offset: number) => {
          // Without a consumer the batch is not taken for consumed either.
          if (!this.#consumer) throw new LaneEnded(`${topic}/${partition}`);
          this.#consumer.seek(topic, partition, offset);
        },
        onAppended: (through: Position, durable: boolean) => archive.appended(through, durable),
        archived: () => archive.watermark,
      };
      const lane = new Lane(topic, partition, place, this.deps.lane);
      owned = { lane, archive, committed: undefined, committing: Promise.resolve() };
      this.#lanes.set(partition, owned);
    }
    return owned;
  }

  #probe(): void {
    for (const { lane } of this.#lanes.values()) {
      lane.probe(this.deps.probeIntervalMs).catch((error: unknown) => {
        if (error instanceof LaneEnded) return;
        this.deps.log.warn({ err: error, topic: lane.topic, partition: lane.partition }, 'not looked after');
      });
    }
  }

  #revoked(partitions: readonly TopicPartition[]): void {
    for (const { partition } of partitions) {
      const owned = this.#lanes.get(partition);
      if (!owned) continue;
      this.#lanes.delete(partition);
      owned.lane.end();
      void owned.archive.end();
    }
  }
}

/** Below this everything is done, and archived: whoever takes the partition over finds the rest in the streams or the bus. */
function committable({ lane, archive }: OwnedLane): number | undefined {
  const done = lane.offsets.committable;
  if (done === undefined || archive.watermark === undefined) return undefined;
  return Math.min(done, Math.floor((archive.watermark + 1) / MAX_PUSHES_PER_RECORD));
}
