import { randomUUID } from 'node:crypto';

import { nodeRecord } from '@halley/cluster/registry/node-record';
import type { NodeRecord, Registration, Registry } from '@halley/cluster/registry/registry';
import { HalleyError } from '@halley/protocol/error';
import { atMost } from '@halley/service/at-most';
import { systemClock } from '@halley/service/clock';
import { embeddedOnly } from '@halley/service/embedded-only';
import { exitOnLoss } from '@halley/service/exit-on-loss';
import { ExceptionReports } from '@halley/service/exception-reports';
import type { Service } from '@halley/service/lifecycle';
import { createLogger, type Logger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { offsetPort, resolveNode } from '@halley/service/node-config';
import { OpsServer } from '@halley/service/ops-server';
import type { Archive } from '@halley/store/archive/archive';
import { retentionAt } from '@halley/store/archive/config';
import { type Bus, Topic } from '@halley/store/bus/bus';
import type { DeadLetterStore } from '@halley/store/dead/dead';
import { EventQueue } from '@halley/store/events/event-queue';
import { type Ledger, NO_LEDGER } from '@halley/store/ledger/ledger';
import { ledgerRetention } from '@halley/store/ledger/retention';
import { rowsOf } from '@halley/store/ledger/reports';
import type { Routes } from '@halley/store/routes/routes';
import type { Schedules } from '@halley/store/schedule/schedules';
import type { Streams } from '@halley/store/streams/streams';

import { archiveRetention } from './archive/retention.js';
import type { JobConfig } from './config.js';
import { PushConsumer } from './consume/consumer.js';
import { DeadLetters } from './consume/dead-letter.js';
import { GoimIngress } from './consume/goim-ingress.js';
import { BatchConsumer } from './consume/batch-consumer.js';
import type { CometLinks } from './deliver/comet-links.js';
import { openLinks } from './deliver/open-links.js';
import { OfflineEvents } from './hooks/offline-events.js';
import { LagMeter } from './lag-meter.js';
import { JobMetrics } from './metrics.js';
import { ScheduleFiring } from './schedule/firing.js';
import { scheduleRetention } from './schedule/retention.js';
import { SideTopics } from './side-topics.js';
import { Wakeup } from './wakeup.js';
import { checkWebhooks } from './webhook/config.js';
import { Webhooks } from './webhook/webhooks.js';

/** What a caller shares with the app: used, not stopped. What is absent is built from the configuration and owned. */
export interface JobPorts {
  readonly registry?: Registry;
  readonly bus?: Bus;
  readonly routes?: Routes;
  readonly streams?: Streams;
  readonly archive?: Archive;
  /** Beside the archive; where that is given and this is not, dead letters are not listed. */
  readonly dead?: DeadLetterStore;
  /** Beside the archive; where that is given and this is not, nothing is fired. */
  readonly schedules?: Schedules;
  /** Beside the archive; where that is given and this is not, nothing is kept of what went wrong. */
  readonly ledger?: Ledger;
  readonly metrics?: Metrics;
  readonly log?: Logger;
}

/** The job tier, put together. */
export interface JobApp extends Service {
  /** How it is registered; known once started. */
  readonly node: NodeRecord;
  /** What is missing before it can serve; empty is ready. */
  ready(): readonly string[];
}

/** Puts a job together; nothing is opened before `start`. */
export function createJobApp(config: JobConfig, ports: JobPorts = {}): JobApp {
  return new App(config, ports);
}

/** How long the registry may take to hear that the node goes. */
const REGISTRY_MS = 1_000;

/** What a start brings up, in its order. */
interface Started {
  readonly node: NodeRecord;
  readonly registry: Registry;
  readonly bus: Bus;
  readonly routes: Routes;
  readonly streams: Streams;
  readonly links: CometLinks;
  readonly push: PushConsumer;
  readonly ingress: BatchConsumer | undefined;
  readonly side: SideTopics;
  readonly registration: Registration;
}

class App implements JobApp {
  readonly name = 'job';
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #services: Service[] = [];
  #parts: Partial<Started> = {};
  #stopping = false;

  constructor(
    private readonly config: JobConfig,
    private readonly ports: JobPorts,
  ) {
    this.#log = ports.log ?? createLogger({ ...config.log, base: { tier: 'job' } });
    this.#metrics = ports.metrics ?? new Metrics();
  }

  get node(): NodeRecord {
    const { node } = this.#parts;
    if (!node) throw new HalleyError('internal', 'The job has not started.');
    return node;
  }

  ready(): readonly string[] {
    const { registry, bus, routes, streams, push, ingress, registration } = this.#parts;
    const troubles = new Set(push?.lanes.map((lane) => lane.trouble));
    const missing: string[] = [];
    if (this.#stopping) missing.push('job: stopping');
    if (!registry?.healthy()) missing.push('registry: not reached');
    if (!bus?.healthy()) missing.push('bus: not reached');
    if (!push?.joined) missing.push(`bus consumer: has not joined ${this.config.consume.group}`);
    if (takesIngress(this.config) && !ingress?.joined)
      missing.push(`bus consumer: has not joined ${this.config.ingress.group}`);
    if (!routes?.healthy() || troubles.has('routes')) missing.push('route store: not reached');
    if (!streams?.healthy() || troubles.has('streams')) missing.push('streams: not reached');
    if (troubles.has('streams_full')) missing.push('streams: full');
    // Deliveries go on while it is away, unless the streams are to be filled from there.
    if (troubles.has('archive')) missing.push('archive: not reached');
    if (!registration) missing.push('registry: not registered');
    return missing;
  }

  async start(): Promise<void> {
    checkWebhooks(this.config.webhook, this.config.events.kinds);
    try {
      await this.#start();
    } catch (error) {
      await this.stop(2_000);
      throw error;
    }
  }

  /** Unready and draining first; then nothing more is taken, what is done is committed, and the node leaves. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const until = systemClock.monotonicMs() + deadlineMs;
    const { registration, push, ingress, side, links } = this.#parts;
    const left = (): number => Math.max(0, until - systemClock.monotonicMs());
    if (registration) await atMost(registration.update({ state: 'draining' }), Math.min(left(), REGISTRY_MS));
    // A consumer drains for half of what it is given.
    const forConsumers = Math.min(left(), 2 * this.config.consume.drainTimeoutMs);
    await quietly(
      Promise.all([push?.stop(forConsumers), ingress?.stop(forConsumers), side?.stop(forConsumers)]),
      this.#log,
    );
    await links?.stop();
    if (registration) await atMost(registration.deregister(), Math.min(left(), REGISTRY_MS));
    for (let service = this.#services.pop(); service; service = this.#services.pop()) {
      await quietly(service.stop(left()), this.#log);
    }
  }

  async #start(): Promise<void> {
    const { config, ports } = this;
    const log = this.#log;
    const metrics = new JobMetrics(this.#metrics, () => systemClock.now());
    const ops = new OpsServer({
      host: config.node.bind,
      port: offsetPort(config.ops.port, config.node),
      metrics: this.#metrics,
      ready: () => this.ready(),
      log,
    });
    await this.#own(ops);
    const node = this.#record(ops.boundPort);
    this.#parts = { node };

    const registry = ports.registry ?? (await this.#own(await openRegistry(config, log)));
    const bus = ports.bus ?? (await this.#own(await openBus(config, log, this.#metrics)));
    const routes = ports.routes ?? (await this.#own(await openRoutes(config, log)));
    const streams = ports.streams ?? (await this.#own(await openStreams(config, log)));
    const { archive, dead, schedules, ledger } = await this.#openArchive();
    const exceptions = await this.#own(
      new ExceptionReports({
        tier: 'job',
        write: (reports) => ledger.write(rowsOf(reports, 'job', node.id)),
        ...config.ledger,
        clock: systemClock,
        metrics: this.#metrics,
        log,
      }),
    );
    this.#parts = { ...this.#parts, registry, bus, routes, streams };

    const changed = new Wakeup();
    const links = await openLinks({
      config,
      node,
      registry,
      epoch: bus.epoch,
      metrics,
      grpcMetrics: this.#metrics,
      changed,
      log,
    });
    this.#parts = { ...this.#parts, links };
    await links.start();

    const shared = { bus, clock: systemClock, metrics, log };
    const deadLetters = new DeadLetters(shared);
    const events = await this.#own(
      new EventQueue({ bus, config: config.events, metrics: this.#metrics, log }),
    );
    const push = new PushConsumer({
      ...shared,
      group: config.consume.group,
      commitIntervalMs: config.consume.commitIntervalMs,
      probeIntervalMs: config.consume.probeIntervalMs,
      archive: {
        ...shared,
        streams,
        archive,
        epoch: bus.epoch,
        limits: {
          joinMs: config.consume.archiveJoinMs,
          idleMs: config.consume.archiveIdleMs,
          maxEntries: config.consume.archiveEntries,
        },
      },
      lane: {
        ...shared,
        routes,
        streams,
        archive,
        epoch: bus.epoch,
        shards: bus.partitions(Topic.Push),
        links,
        maxHintBodyBytes: config.link.maxHintBodyBytes,
        deadLetters,
        exceptions,
        offline: new OfflineEvents({
          events,
          streams,
          config: config.events,
          epoch: bus.epoch,
          clock: systemClock,
        }),
        changed,
        limits: {
          maxRecords: config.consume.maxUndoneRecords,
          maxBytes: config.consume.maxUndoneBytes,
          maxStallMs: config.link.maxStallMs,
        },
      },
    });
    const side = new SideTopics({ ...shared, config, push, deadLetters, dead });
    metrics.watch({
      oldestUndoneMs: () => push.oldestUndoneMs,
      oldestBulkMs: () => side.mover.oldestWaitingMs,
      undoneRecords: () => push.lanes.reduce((sum, lane) => sum + lane.offsets.undone, 0),
      queueBytes: () => links.all().map((link) => [link.comet.id, link.queuedBytes] as const),
      linkStates: () => links.states(),
      archiveLagMs: () => push.archiveLagMs,
      watermarks: () => push.watermarks,
    });
    this.#parts = { ...this.#parts, push };
    await push.start();
    const groups: [string, string][] = [[config.consume.group, Topic.Push]];
    this.#parts = { ...this.#parts, side };
    await side.start();
    groups.push(...side.groups);
    if (takesIngress(config)) {
      const ingress = new BatchConsumer({
        ...shared,
        name: 'goim ingress',
        topic: Topic.GoimPush,
        group: config.ingress.group,
        work: new GoimIngress({
          ...shared,
          routes,
          deadLetters,
          durableRooms: config.ingress.durableRooms,
          maxRecordBytes: config.bus.maxRecordBytes,
        }),
      });
      this.#parts = { ...this.#parts, ingress };
      await ingress.start();
      groups.push([config.ingress.group, Topic.GoimPush]);
    }
    await this.#own(
      archiveRetention({
        ...shared,
        archive,
        everyMs: config.archive.retainEveryMs,
        keptAt: (nowMs) => retentionAt(config.archive, nowMs),
      }),
    );
    if (schedules) {
      const firing = new ScheduleFiring({
        ...shared,
        schedules,
        owner: randomUUID(),
        limits: config.schedule,
        maxRecordBytes: config.bus.maxRecordBytes,
      });
      await this.#own(firing);
      await this.#own(scheduleRetention({ ...shared, schedules, keepMs: config.schedule.keepMs }));
    }
    const webhooks = {
      bus,
      config: config.webhook,
      deadLetters,
      metrics: this.#metrics,
      clock: systemClock,
      log,
    };
    await this.#own(new Webhooks(webhooks));
    await this.#own(ledgerRetention({ ledger, ...config.ledger, clock: systemClock, log }));
    await this.#own(new LagMeter({ bus, groups, intervalMs: config.consume.lagIntervalMs, metrics, log }));
    this.#parts = { ...this.#parts, registration: await registry.register(node) };
    log.info({ node: node.id, ...node.addresses }, 'job delivers');
  }

  #record(opsPort: number): NodeRecord {
    const { node } = this.config;
    return nodeRecord('job', node, resolveNode(node, { ops: opsPort }, 'ops'), systemClock);
  }

  async #openArchive(): Promise<{
    readonly archive: Archive;
    readonly dead: DeadLetterStore | undefined;
    readonly schedules: Schedules | undefined;
    readonly ledger: Ledger;
  }> {
    const { config, ports } = this;
    const { dead, schedules, ledger = NO_LEDGER } = ports;
    if (ports.archive) return { archive: ports.archive, dead, schedules, ledger };
    if (config.archive.adapter === 'embedded') throw embeddedOnly('job', 'archive.adapter', 'mariadb');
    const { mariadbStores } = await import('@halley/store/archive/mariadb-stores');
    const stores = mariadbStores({ config: config.archive, log: this.#log });
    await this.#own(stores.archive);
    return stores;
  }

  /** Starts what this app stops. */
  async #own<Kind extends Service>(service: Kind): Promise<Kind> {
    this.#services.push(service);
    await service.start();
    return service;
  }
}

/** goim's producers write to Kafka, so with the bus in Redis there is nothing to take in. */
function takesIngress({ bus, ingress }: JobConfig): boolean {
  return ingress.enabled && bus.adapter !== 'redis';
}

async function openRegistry(config: JobConfig, log: Logger): Promise<Registry> {
  if (config.registry.adapter === 'embedded') throw embeddedOnly('job', 'registry.adapter', 'zookeeper');
  const { ZooKeeperRegistry } = await import('@halley/cluster/registry/zookeeper');
  return new ZooKeeperRegistry({ config: config.registry, env: config.node.env, log });
}

async function openBus(config: JobConfig, log: Logger, metrics: Metrics): Promise<Bus> {
  if (config.bus.adapter === 'embedded') throw embeddedOnly('job', 'bus.adapter', 'kafka or redis');
  const shared = { config: config.bus, log, metrics, clock: systemClock };
  if (config.bus.adapter === 'redis') {
    const { RedisBus } = await import('@halley/store/bus/redis');
    return new RedisBus({ ...shared, routes: config.routes, onLost: exitOnLoss });
  }
  const { KafkaBus } = await import('@halley/store/bus/kafka');
  return new KafkaBus(shared);
}

async function openRoutes(config: JobConfig, log: Logger): Promise<Routes> {
  if (config.routes.adapter === 'embedded') throw embeddedOnly('job', 'routes.adapter', 'redis');
  const { RedisRoutes } = await import('@halley/store/routes/redis');
  return new RedisRoutes({ config: config.routes, log, shards: config.bus.partitions });
}

async function openStreams(config: JobConfig, log: Logger): Promise<Streams> {
  const { RedisStreams } = await import('@halley/store/streams/redis');
  return new RedisStreams({
    location: config.routes,
    config: config.streams,
    shards: config.bus.partitions,
    log,
  });
}

async function quietly(work: Promise<unknown> | undefined, log: Logger): Promise<void> {
  await work?.catch((error: unknown) => log.warn({ err: error }, 'did not stop cleanly'));
}
