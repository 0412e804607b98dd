import { createClient } from '@halley/cluster/grpc/client';
import { protos } from '@halley/cluster/grpc/protos';
import { type EmbeddedHub, EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import { type Clock, systemClock } from '@halley/service/clock';
import { type Exceptions, NO_EXCEPTIONS } from '@halley/service/exceptions';
import { type Logger, silentLogger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';
import type { Archive } from '@halley/store/archive/archive';
import { type Bus, type BusConsumer, Topic } from '@halley/store/bus/bus';
import type { EventKind } from '@halley/store/events/config';
import { EventQueue } from '@halley/store/events/event-queue';
import type { Routes } from '@halley/store/routes/routes';
import type { Streams } from '@halley/store/streams/streams';

import type { ArchiveLimits } from '../archive/archiver.js';
import { PushConsumer } from '../consume/consumer.js';
import { DeadLetters } from '../consume/dead-letter.js';
import { GoimIngress } from '../consume/goim-ingress.js';
import { BatchConsumer } from '../consume/batch-consumer.js';
import type { LaneLimits } from '../consume/lanes.js';
import type { LinkLimits } from '../deliver/comet-link.js';
import { CometLinks } from '../deliver/comet-links.js';
import { BulkMover, type BulkMoverDeps } from '../bulk/bulk-mover.js';
import { OfflineEvents } from '../hooks/offline-events.js';
import { JobMetrics } from '../metrics.js';
import { Wakeup } from '../wakeup.js';
import type { TestClock } from './test-clock.js';

export const GROUP = 'halley-job';
export const INGRESS_GROUP = 'goim-push-group-job';
export const BULK_GROUP = 'halley-job-bulk';

export interface JobOptions {
  readonly clock: Clock;
  readonly link: Partial<LinkLimits>;
  readonly lane: Partial<LaneLimits>;
  readonly unknownCometGraceMs: number;
  readonly ingress: boolean;
  readonly bulk: BulkMoverDeps['limits'];
  /** Told what went wrong with pushes. */
  readonly exceptions: Exceptions;
  /** Stands in for the bus's. */
  readonly produce: Bus['produce'];
  /** Stand in for the rig's. */
  readonly streams: Streams;
  readonly archive: Archive;
  readonly archiveLimits: Partial<ArchiveLimits>;
  readonly maxHintBodyBytes: number;
  readonly maxRecordBytes: number;
  readonly durableRooms: readonly string[];
  readonly log: Logger;
  /** Kinds of events that are written. */
  readonly events: readonly EventKind[];
}

/** What jobs of one cluster share. */
export interface JobWorld {
  readonly metrics: Metrics;
  readonly hub: EmbeddedHub;
  readonly bus: Bus;
  readonly routes: Routes;
  readonly streams: Streams;
  readonly archive: Archive;
}

/** The parts of a job, put together as app.ts does, without a registration of its own. */
export class Job {
  readonly metrics: JobMetrics;
  readonly changed = new Wakeup();
  readonly #registry: EmbeddedRegistry;
  #links: CometLinks | undefined;
  #push: PushConsumer | undefined;
  #ingress: BatchConsumer | undefined;
  #bulk: BatchConsumer | undefined;
  mover: BulkMover | undefined;

  readonly #consumers: BusConsumer[] = [];
  #killed = false;

  constructor(
    private readonly rig: JobWorld,
    private readonly options: Partial<JobOptions>,
  ) {
    this.metrics = new JobMetrics(rig.metrics, () => Date.now());
    this.#registry = new EmbeddedRegistry({ log: silentLogger(), hub: rig.hub });
  }

  get links(): CometLinks {
    if (!this.#links) throw new Error('not started');
    return this.#links;
  }

  get push(): PushConsumer {
    if (!this.#push) throw new Error('not started');
    return this.#push;
  }

  async start(): Promise<void> {
    const { rig, options, metrics, changed } = this;
    const { clock = systemClock, log = silentLogger() } = options;
    await this.#registry.start();
    this.#links = new CometLinks({
      view: await this.#registry.watch('comet'),
      hello: { job: 'job', job_incarnation: 'j1', epoch: rig.bus.epoch },
      limits: {
        maxQueuedBytes: 32 * 1_048_576,
        silentAfterMs: 5_000,
        maxStallMs: 1_000,
        maxBatchDeliveries: 256,
        maxBatchBytes: 262_144,
        welcomeTimeoutMs: 2_000,
        maxReconnectMs: 100,
        vanishedHoldMs: 12_000,
        ...options.link,
      },
      unknownCometGraceMs: options.unknownCometGraceMs ?? 1_000,
      connect: (target) =>
        createClient(protos.halley.delivery.v1.DeliveryService, { target, log, metrics: rig.metrics }),
      clock,
      log,
      changed,
      onBreak: (status) => metrics.linkBreaks.inc({ status }),
    });
    await this.#links.start();
    const shared = { bus: this.#mortalBus(), clock, metrics, log };
    const streams = this.#mortal(options.streams ?? rig.streams);
    const archive = this.#mortal(options.archive ?? rig.archive);
    const { epoch } = rig.bus;
    const deadLetters = new DeadLetters(shared);
    const config = { kinds: [...(options.events ?? [])], maxBodyBytes: 16, maxQueued: 1_000 };
    const events = new EventQueue({ bus: shared.bus, config, metrics: rig.metrics, log });
    this.#push = new PushConsumer({
      ...shared,
      group: GROUP,
      commitIntervalMs: 20,
      probeIntervalMs: 50,
      archive: {
        streams,
        archive,
        epoch,
        limits: { joinMs: 10, idleMs: 20, maxEntries: 1_000, ...options.archiveLimits },
        clock: systemClock,
        metrics,
        log,
      },
      lane: {
        routes: rig.routes,
        streams,
        archive,
        epoch,
        shards: rig.bus.partitions(Topic.Push),
        links: this.#links,
        maxHintBodyBytes: options.maxHintBodyBytes ?? 16_384,
        exceptions: options.exceptions ?? NO_EXCEPTIONS,
        offline: new OfflineEvents({ events, streams, config, epoch, clock }),
        deadLetters,
        limits: { maxRecords: 100_000, maxBytes: 64 * 1_048_576, maxStallMs: 1_000, ...options.lane },
        clock,
        metrics,
        log,
        changed,
      },
    });
    await this.#push.start();
    if (options.bulk) {
      this.mover = new BulkMover({
        ...shared,
        bus: { ...shared.bus, lags: (group, topic) => rig.bus.lags(group, topic) },
        pushGroup: GROUP,
        reads: (partition) => this.push.reads(partition),
        deadLetters,
        limits: options.bulk,
      });
      const work = this.mover;
      const bulk = { name: 'bulk', group: BULK_GROUP, topic: Topic.Bulk, work };
      this.#bulk = new BatchConsumer({ ...shared, ...bulk });
      await this.#bulk.start();
    }
    if (!options.ingress) return;
    const ingress = new GoimIngress({
      ...shared,
      routes: rig.routes,
      deadLetters,
      durableRooms: options.durableRooms ?? [],
      maxRecordBytes: options.maxRecordBytes ?? 4 * 1_048_576,
    });
    this.#ingress = new BatchConsumer({
      ...shared,
      name: 'goim ingress',
      group: INGRESS_GROUP,
      topic: Topic.GoimPush,
      work: ingress,
    });
    await this.#ingress.start();
  }

  /** Stops in good order. */
  async stop(deadlineMs: number): Promise<void> {
    await Promise.all([
      this.#push?.stop(deadlineMs),
      this.#ingress?.stop(deadlineMs),
      this.#bulk?.stop(deadlineMs),
    ]);
    await this.#links?.stop();
    await this.#registry.stop(0);
  }

  /** As kill -9 and the end of its session: what was queued is lost, nothing more is committed, others take over. */
  async kill(): Promise<void> {
    this.#killed = true;
    await this.#links?.stop();
    for (const consumer of this.#consumers) await consumer.stop(0);
  }

  /** A store as this job sees it: once killed, it asks and hears nothing more. */
  #mortal<Store extends object>(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown =>
          this.#killed ? new Promise(() => undefined) : Reflect.apply(value, target, args);
      },
    });
  }

  /** The bus as this job sees it: once killed, it neither writes nor commits. */
  #mortalBus(): Pick<Bus, 'consume' | 'produce' | 'partitions'> {
    const { bus } = this.rig;
    return {
      partitions: (topic) => bus.partitions(topic),
      produce: async (topic, records) => {
        if (this.#killed) return new Promise(() => undefined);
        return (this.options.produce ?? bus.produce.bind(bus))(topic, records);
      },
      consume: async (options) => {
        const consumer = await bus.consume(options);
        this.#consumers.push(consumer);
        return {
          commit: async (topic, partition, offset) => {
            if (!this.#killed) await consumer.commit(topic, partition, offset);
          },
          seek: (topic, partition, offset) => consumer.seek(topic, partition, offset),
          pause: (partitions) => consumer.pause(partitions),
          resume: (partitions) => consumer.resume(partitions),
          assigned: () => consumer.assigned(),
          healthy: () => consumer.healthy(),
          stop: (deadlineMs) => consumer.stop(deadlineMs),
        };
      },
    };
  }

  /** Lets time pass in steps in which the process runs. */
  pass(clock: TestClock, ms: number): void {
    for (let passed = 0; passed < ms; passed += 100) {
      clock.advance(100);
      this.links.tick();
    }
  }
}
