import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient } from '@halley/cluster/grpc/client';
import { protos } from '@halley/cluster/grpc/protos';
import { EmbeddedHub, EmbeddedRegistry } from '@halley/cluster/registry/embedded';
import type { ConnectionKey, RoomId, UserId } from '@halley/protocol/ids';
import { type Clock, systemClock } from '@halley/service/clock';
import { type Logger, silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { type Bus, type BusConsumer, type BusRecord, Topic } from '@halley/store/bus/bus';
import { EmbeddedBus } from '@halley/store/bus/embedded';
import { EmbeddedRoutes } from '@halley/store/routes/embedded';
import { shardOf, streamOf } from '@halley/store/shard';

import { DeadLetters } from '../consume/dead-letter.js';
import { GoimIngress } from '../consume/goim-ingress.js';
import { IngressConsumer, PushConsumer } from '../consume/consumer.js';
import type { LaneLimits } from '../consume/lanes.js';
import { recordCodec } from '../consume/push-record.js';
import type { LinkLimits } from '../deliver/comet-link.js';
import { CometLinks } from '../deliver/comet-links.js';
import { JobMetrics } from '../metrics.js';
import { Wakeup } from '../wakeup.js';
import { FakeComet } from './fake-comet.js';

/** A clock that a test moves. */
export class TestClock implements Clock {
  #ms = 1_800_000_000_000;

  now(): number {
    return this.#ms;
  }

  monotonicMs(): number {
    return this.#ms;
  }

  advance(ms: number): void {
    this.#ms += ms;
  }
}

/** Resolves when the condition holds; throws after the timeout. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 5_000): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not so within ${timeoutMs} ms: ${condition.toString()}`);
    await sleep(5);
  }
}

export const PARTITIONS = 4;
export const GROUP = 'halley-job';
export const INGRESS_GROUP = 'goim-push-group-job';

/** Fields of a push for a test. */
export interface PushFields {
  readonly id?: string;
  readonly users?: readonly string[];
  readonly keys?: readonly string[];
  readonly rooms?: readonly string[];
  readonly everyone?: boolean;
  readonly expire_at_ms?: number;
  readonly class?: 'CLASS_DURABLE' | 'CLASS_EPHEMERAL';
}

/** What a cluster has beside jobs: an embedded bus, routes, a registry, and comets that a test scripts. */
export class Rig {
  readonly metrics = new Metrics({ process: false });
  readonly hub = new EmbeddedHub();
  readonly routes = new EmbeddedRoutes({ leaseMs: 3_600_000 });
  readonly comets: FakeComet[] = [];
  readonly jobs: Job[] = [];
  readonly #registry = new EmbeddedRegistry({ log: silentLogger(), hub: this.hub });
  #counter = 0;

  private constructor(
    readonly dataDir: string,
    readonly bus: EmbeddedBus,
  ) {}

  static async open(): Promise<Rig> {
    const dataDir = await mkdtemp(join(tmpdir(), 'halley-job-'));
    const bus = new EmbeddedBus({ dataDir, partitions: PARTITIONS, log: silentLogger(), clock: systemClock });
    await bus.start();
    const rig = new Rig(dataDir, bus);
    await rig.#registry.start();
    return rig;
  }

  async close(): Promise<void> {
    for (const job of this.jobs) await job.stop(500);
    for (const comet of this.comets) comet.stop();
    await this.bus.stop(1_000);
    await rm(this.dataDir, { recursive: true });
  }

  /** A comet that is started and registered. */
  async comet(id: string): Promise<FakeComet> {
    const comet = await new FakeComet(id).start();
    this.comets.push(comet);
    this.register(comet);
    return comet;
  }

  register(comet: FakeComet): void {
    this.hub.put(comet.record, this.#registry);
  }

  deregister(comet: FakeComet): void {
    this.hub.remove(comet.record);
  }

  /** A job that is started, on a clock of its own when given. */
  async job(options: Partial<JobOptions> = {}): Promise<Job> {
    const job = new Job(this, options);
    this.jobs.push(job);
    await job.start();
    return job;
  }

  async connect(mid: string, key: string, comet: FakeComet): Promise<void> {
    this.#counter += 1;
    await this.routes.claim({
      mid: mid as UserId,
      key: key as ConnectionKey,
      at: comet.ref,
      counter: this.#counter,
    });
  }

  async enterRoom(room: string, comet: FakeComet): Promise<void> {
    await this.routes.enterRoom(room as RoomId, comet.ref);
  }

  /** Writes one push as logic does, in the partition of its first target. */
  async push(body: string, fields: PushFields): Promise<void> {
    await this.bus.produce(Topic.Push, [this.record(body, fields)]);
  }

  record(body: string, fields: PushFields): BusRecord {
    const { users = [], keys = [], rooms = [] } = fields;
    const stream = users[0]
      ? streamOf.user(users[0] as UserId)
      : keys[0]
        ? streamOf.key(keys[0] as ConnectionKey)
        : rooms[0]
          ? streamOf.room(rooms[0] as RoomId)
          : streamOf.everyone;
    const push = { id: body, operation: 1_000, body: Buffer.from(body), accepted_at_ms: Date.now() };
    return {
      partition: shardOf(stream, PARTITIONS),
      key: stream,
      value: recordCodec.encode({
        pushes: [{ ...push, ...fields, users: [...users], keys: [...keys], rooms: [...rooms] }],
      }),
    };
  }

  /** All records of a topic so far, by a group of their own. */
  async read(topic: string): Promise<{ value: Uint8Array; headers: Readonly<Record<string, string>> }[]> {
    const records: { value: Uint8Array; headers: Readonly<Record<string, string>> }[] = [];
    const group = `reader-${Math.random()}`;
    const consumer = await this.bus.consume({
      group,
      topics: [topic],
      onBatch: async (batch) => void records.push(...batch.records),
    });
    const expected = await this.bus.lag(group, topic);
    await until(() => records.length >= expected);
    await consumer.stop(100);
    return records;
  }

  /** The sum of a counter over the labels given. */
  async count(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const metric = await this.metrics.registry.getSingleMetric(name)?.get();
    return (metric?.values ?? [])
      .filter((value) => Object.entries(labels).every(([label, wanted]) => value.labels[label] === wanted))
      .reduce((sum, { value }) => sum + value, 0);
  }

  /** What became of deliveries, by result. */
  async results(result: string): Promise<number> {
    return this.count('halley_job_deliveries_total', { result });
  }
}

export interface JobOptions {
  readonly clock: Clock;
  readonly link: Partial<LinkLimits>;
  readonly lane: Partial<LaneLimits>;
  readonly unknownCometGraceMs: number;
  readonly ingress: boolean;
  /** Stands in for the bus's. */
  readonly produce: Bus['produce'];
  readonly maxRecordBytes: number;
  readonly log: Logger;
}

/** The parts of a job, put together as app.ts does, without a registration of its own. */
export class Job {
  readonly metrics: JobMetrics;
  readonly changed = new Wakeup();
  readonly #registry: EmbeddedRegistry;
  #links: CometLinks | undefined;
  #push: PushConsumer | undefined;
  #ingress: IngressConsumer | undefined;

  readonly #consumers: BusConsumer[] = [];
  #killed = false;

  constructor(
    private readonly rig: Rig,
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
    const deadLetters = new DeadLetters(shared);
    this.#push = new PushConsumer({
      ...shared,
      group: GROUP,
      commitIntervalMs: 20,
      lane: {
        routes: rig.routes,
        links: this.#links,
        deadLetters,
        limits: { maxRecords: 100_000, maxBytes: 64 * 1_048_576, maxStallMs: 1_000, ...options.lane },
        clock,
        metrics,
        log,
        changed,
      },
    });
    await this.#push.start();
    if (!options.ingress) return;
    const ingress = new GoimIngress({
      ...shared,
      routes: rig.routes,
      deadLetters,
      maxRecordBytes: options.maxRecordBytes ?? 4 * 1_048_576,
    });
    this.#ingress = new IngressConsumer({ ...shared, group: INGRESS_GROUP, ingress });
    await this.#ingress.start();
  }

  /** Stops in good order. */
  async stop(deadlineMs: number): Promise<void> {
    await Promise.all([this.#push?.stop(deadlineMs), this.#ingress?.stop(deadlineMs)]);
    await this.#links?.stop();
    await this.#registry.stop(0);
  }

  /** As kill -9 and the end of its session: what was queued is lost, nothing more is committed, others take over. */
  async kill(): Promise<void> {
    this.#killed = true;
    await this.#links?.stop();
    for (const consumer of this.#consumers) await consumer.stop(0);
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
