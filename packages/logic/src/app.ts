import { setTimeout as sleep } from 'node:timers/promises';

import type { ClientDeps } from '@halley/cluster/grpc/client';
import { clientTlsOf } from '@halley/cluster/grpc/config';
import { clientCredentials } from '@halley/cluster/grpc/tls';
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
import { type Bus, Topic } from '@halley/store/bus/bus';
import type { DeadLetterStore } from '@halley/store/dead/dead';
import { EventQueue } from '@halley/store/events/event-queue';
import { type Ledger, NO_LEDGER } from '@halley/store/ledger/ledger';
import { rowsOf } from '@halley/store/ledger/reports';
import type { Reads } from '@halley/store/reads/reads';
import type { Routes } from '@halley/store/routes/routes';
import type { Schedules } from '@halley/store/schedule/schedules';
import type { Streams } from '@halley/store/streams/streams';

import { JwtKeys } from './auth/jwt-keys.js';
import { JwtVerifier } from './auth/jwt.js';
import { OpenVerifier } from './auth/open.js';
import type { TokenVerifier } from './auth/verifier.js';
import { checkLogicConfig, type LogicConfig } from './config.js';
import { assembleLogic, type Logic, type LogicDeps } from './logic.js';

/** What is shared with others in the process: it is used and not stopped. What is absent is made from the configuration. */
export interface LogicPorts {
  readonly registry?: Registry;
  readonly bus?: Bus;
  readonly routes?: Routes;
  readonly streams?: Streams;
  readonly archive?: Archive;
  /** Beside the archive: given where that is. */
  readonly reads?: Reads;
  /** Beside the archive; where that is given and this is not, dead letters are not served. */
  readonly dead?: DeadLetterStore;
  /** Beside the archive; where that is given and this is not, nothing can be scheduled. */
  readonly schedules?: Schedules;
  /** Beside the archive; where that is given and this is not, nothing is kept of what went wrong. */
  readonly ledger?: Ledger;
  readonly log?: Logger;
  readonly metrics?: Metrics;
}

/** A logic as a service. */
export interface LogicApp extends Service {
  /** As it registered; throws before the start. */
  readonly node: NodeRecord;
  /** What is missing before it can serve, as `bus: not reached`; empty is ready. */
  ready(): readonly string[];
}

/** How long the others get to see that the node drains, before it takes no more calls. */
const DRAIN_NOTICE_MS = 250;
const REGISTRY_MS = 1_000;

/** A logic with this configuration. Nothing is opened before `start`. */
export function createLogicApp(config: LogicConfig, ports: LogicPorts = {}): LogicApp {
  return new App(config, ports);
}

type State = 'new' | 'starting' | 'serving' | 'draining' | 'stopped';

class App implements LogicApp {
  readonly name = 'logic';
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #ops: OpsServer;
  /** Made here, and so stopped here, in reverse. */
  readonly #owned: Service[] = [];
  #state: State = 'new';
  #registry: Registry | undefined;
  #bus: Bus | undefined;
  #routes: Routes | undefined;
  #streams: Streams | undefined;
  #logic: Logic | undefined;
  #registration: Registration | undefined;

  constructor(
    private readonly config: LogicConfig,
    private readonly ports: LogicPorts,
  ) {
    this.#log = ports.log ?? createLogger({ ...config.log, base: { tier: 'logic' } });
    this.#metrics = ports.metrics ?? new Metrics();
    this.#ops = new OpsServer({
      host: config.node.bind,
      port: offsetPort(config.ops.port, config.node),
      metrics: this.#metrics,
      ready: () => this.ready(),
      log: this.#log,
    });
  }

  get node(): NodeRecord {
    if (!this.#registration) throw new HalleyError('internal', 'logic has not registered yet');
    return this.#registration.record;
  }

  ready(): readonly string[] {
    const missing: string[] = [];
    if (this.#state === 'draining' || this.#state === 'stopped') missing.push('node: draining');
    if (!this.#registry?.healthy()) missing.push('registry: not reached');
    else if (!this.#registration) missing.push('registry: not registered');
    if (!this.#bus?.healthy()) missing.push('bus: not reached');
    if (!this.#routes?.healthy()) missing.push('route store: not reached');
    if (!this.#streams?.healthy()) missing.push('streams: not reached');
    // While the archive is away it still takes pushes and connections: to be sent elsewhere would help nobody.
    return missing;
  }

  async start(): Promise<void> {
    checkLogicConfig(this.config);
    this.#state = 'starting';
    const verifier = await makeVerifier(this.config);
    await this.#ops.start();
    try {
      await this.#open(verifier);
    } catch (error) {
      await this.stop(2_000);
      throw error;
    }
  }

  async stop(deadlineMs: number): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'new') return;
    const until = performance.now() + deadlineMs;
    const left = (): number => Math.max(0, until - performance.now());
    this.#state = 'draining';
    if (this.#registration) {
      await atMost(this.#registration.update({ state: 'draining' }), Math.min(left(), REGISTRY_MS));
      if (!this.ports.registry) await sleep(Math.min(left(), DRAIN_NOTICE_MS));
    }
    this.#logic?.endStreams();
    // What was taken is answered before the node leaves.
    await Promise.all([this.#logic?.grpc.stop(left() / 2), this.#logic?.http.stop(left() / 2)]);
    if (this.#registration) await atMost(this.#registration.deregister(), Math.min(left(), REGISTRY_MS));
    this.#logic?.close();
    for (const service of this.#owned.splice(0).toReversed()) {
      await service.stop(left() / 2).catch((error: unknown) => {
        this.#log.warn({ err: error, service: service.name }, 'did not stop cleanly');
      });
    }
    await this.#ops.stop(left());
    this.#state = 'stopped';
  }

  async #open(verifier: TokenVerifier): Promise<void> {
    const { config, ports } = this;
    const [log, metrics, clock] = [this.#log, this.#metrics, systemClock];
    const registry = ports.registry ?? (await this.#own(await this.#makeRegistry()));
    this.#registry = registry;
    const bus = ports.bus ?? (await this.#own(await this.#makeBus()));
    this.#bus = bus;
    const routes = ports.routes ?? (await this.#own(await this.#makeRoutes(bus)));
    this.#routes = routes;
    const streams = ports.streams ?? (await this.#own(await this.#makeStreams(bus)));
    this.#streams = streams;
    const { archive, reads, dead, schedules, ledger } = await this.#openArchive();
    // It has a name once its ports are bound, and refuses nothing before.
    const exceptions = await this.#own(
      new ExceptionReports({
        tier: 'logic',
        write: (reports) => ledger.write(rowsOf(reports, 'logic', this.#registration?.record.id ?? '')),
        ...config.ledger,
        clock,
        metrics,
        log,
      }),
    );
    const events = await this.#own(new EventQueue({ bus, config: config.events, metrics, log }));
    const [comets, logics, jobs] = await Promise.all([
      registry.watch('comet'),
      registry.watch('logic'),
      registry.watch('job'),
    ]);
    const tls = clientTlsOf(config.cluster);
    const client: ClientDeps = {
      log,
      metrics,
      token: config.cluster.token,
      credentials: await clientCredentials(tls),
      serverName: config.cluster.tlsServerName,
    };
    const logic = assembleLogic({
      config,
      bus,
      routes,
      streams,
      archive,
      reads,
      dead,
      schedules,
      ledger,
      exceptions,
      comets,
      tiers: [comets, logics, jobs],
      registrySessionTimeoutMs: registry.sessionTimeoutMs,
      verifier,
      events,
      client,
      clock,
      log,
      metrics,
    });
    this.#logic = logic;
    await logic.grpc.start();
    await logic.http.start();
    this.#registration = await registry.register(this.#record(logic));
    this.#state = 'serving';
    log.info({ node: this.node.id, ...this.node.addresses, auth: config.auth.mode }, 'logic serves');
  }

  #record({ grpc, http }: Logic): NodeRecord {
    const { node } = this.config;
    const bound = { grpc: grpc.boundPort, http: http.boundPort, ops: this.#ops.boundPort };
    return nodeRecord('logic', node, resolveNode(node, bound, 'grpc'), systemClock);
  }

  async #own<Owned extends Service>(service: Owned): Promise<Owned> {
    this.#owned.push(service);
    await service.start();
    return service;
  }

  async #makeRegistry(): Promise<Registry> {
    const { config } = this;
    if (config.registry.adapter === 'embedded') throw embeddedOnly('logic', 'registry.adapter', 'zookeeper');
    const { ZooKeeperRegistry } = await import('@halley/cluster/registry/zookeeper');
    return new ZooKeeperRegistry({ config: config.registry, env: config.node.env, log: this.#log });
  }

  async #makeBus(): Promise<Bus> {
    const { config } = this;
    const shared = { config: config.bus, log: this.#log, clock: systemClock, metrics: this.#metrics };
    if (config.bus.adapter === 'embedded') throw embeddedOnly('logic', 'bus.adapter', 'kafka or redis');
    if (config.bus.adapter === 'redis') {
      const { RedisBus } = await import('@halley/store/bus/redis');
      return new RedisBus({ ...shared, routes: config.routes, onLost: exitOnLoss });
    }
    const { KafkaBus } = await import('@halley/store/bus/kafka');
    return new KafkaBus(shared);
  }

  async #makeRoutes(bus: Bus): Promise<Routes> {
    const { config } = this;
    if (config.routes.adapter === 'embedded') throw embeddedOnly('logic', 'routes.adapter', 'redis');
    const { RedisRoutes } = await import('@halley/store/routes/redis');
    return new RedisRoutes({ config: config.routes, shards: bus.partitions(Topic.Push), log: this.#log });
  }

  async #makeStreams(bus: Bus): Promise<Streams> {
    const { config } = this;
    const { RedisStreams } = await import('@halley/store/streams/redis');
    return new RedisStreams({
      location: config.routes,
      config: config.streams,
      shards: bus.partitions(Topic.Push),
      log: this.#log,
    });
  }

  async #openArchive(): Promise<Pick<LogicDeps, 'archive' | 'reads' | 'dead' | 'schedules' | 'ledger'>> {
    const { config, ports } = this;
    if (ports.archive && ports.reads) {
      const { archive, reads, dead, schedules, ledger = NO_LEDGER } = ports;
      return { archive, reads, dead, schedules, ledger };
    }
    if (config.archive.adapter === 'embedded') throw embeddedOnly('logic', 'archive.adapter', 'mariadb');
    const { mariadbStores } = await import('@halley/store/archive/mariadb-stores');
    const stores = mariadbStores({ config: config.archive, log: this.#log });
    await this.#own(stores.archive);
    return stores;
  }
}

async function makeVerifier({ auth }: LogicConfig): Promise<TokenVerifier> {
  if (auth.mode === 'open') return new OpenVerifier();
  return new JwtVerifier({
    ...auth.jwt,
    keys: await JwtKeys.load(auth.jwt, systemClock),
    clock: systemClock,
  });
}
