import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { type Bus, Topic } from '@halley/store/bus/bus';
import type { DeadLetterStore } from '@halley/store/dead/dead';

import { BulkMover } from './bulk/bulk-mover.js';
import type { JobConfig } from './config.js';
import { BatchConsumer } from './consume/batch-consumer.js';
import type { PushConsumer } from './consume/consumer.js';
import type { DeadLetters } from './consume/dead-letter.js';
import { DeadLetterKeeper } from './dead/dead-letter-keeper.js';
import { deadLetterRetention } from './dead/dead-letter-retention.js';
import type { JobMetrics } from './metrics.js';

export interface SideTopicsDeps {
  readonly config: Pick<JobConfig, 'bulk' | 'dead' | 'consume'>;
  readonly bus: Bus;
  readonly push: PushConsumer;
  readonly deadLetters: DeadLetters;
  /** Undefined where dead letters are not listed. */
  readonly dead: DeadLetterStore | undefined;
  readonly clock: Clock;
  readonly metrics: JobMetrics;
  readonly log: Logger;
}

/** What a job does with the topics beside halley-push and goim's: bulk pushes are moved, and dead letters listed. */
export class SideTopics implements Service {
  readonly name = 'bulk pushes and dead letters';
  readonly mover: BulkMover;
  /** The groups that it reads with, and what. */
  readonly groups: readonly [group: string, topic: string][];
  readonly #consumers: BatchConsumer[];
  readonly #retention: Service | undefined;

  constructor(deps: SideTopicsDeps) {
    const { config, push, dead, bus } = deps;
    this.mover = new BulkMover({
      ...deps,
      pushGroup: config.consume.group,
      reads: (partition) => push.reads(partition),
      limits: config.bulk,
    });
    this.groups = [
      [config.bulk.group, Topic.Bulk],
      ...(dead ? [[config.dead.group, Topic.Dead] as [string, string]] : []),
    ];
    const works = [this.mover, ...(dead ? [new DeadLetterKeeper({ ...deps, dead, epoch: bus.epoch })] : [])];
    this.#consumers = this.groups.map(
      ([group, topic], index) =>
        new BatchConsumer({ ...deps, name: topic, group, topic, work: works[index]! }),
    );
    const { retainEveryMs: everyMs } = config.dead;
    this.#retention = dead && deadLetterRetention({ ...deps, ...config.dead, dead, everyMs });
  }

  async start(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.start()));
    await this.#retention?.start();
  }

  async stop(deadlineMs: number): Promise<void> {
    const stopping = this.#consumers.map((consumer) => consumer.stop(deadlineMs));
    await Promise.all([...stopping, this.#retention?.stop(deadlineMs)]);
  }
}
