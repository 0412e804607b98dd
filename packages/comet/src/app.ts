import { readFile } from 'node:fs/promises';
import type { TlsOptions } from 'node:tls';

import { sharedToken } from '@halley/cluster/grpc/auth';
import { clientTlsOf, serverTlsOf } from '@halley/cluster/grpc/config';
import { protos } from '@halley/cluster/grpc/protos';
import { GrpcServer } from '@halley/cluster/grpc/server';
import { clientCredentials } from '@halley/cluster/grpc/tls';
import { nodeRecord } from '@halley/cluster/registry/node-record';
import type { NodeRecord, Registration, Registry, TierView } from '@halley/cluster/registry/registry';
import { HalleyError } from '@halley/protocol/error';
import type { NodeRef } from '@halley/protocol/ids';
import { atMost } from '@halley/service/at-most';
import { systemClock } from '@halley/service/clock';
import { ExceptionReports } from '@halley/service/exception-reports';
import { embeddedOnly } from '@halley/service/embedded-only';
import type { Service } from '@halley/service/lifecycle';
import { createLogger, type Logger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';
import { offsetPort, resolveNode } from '@halley/service/node-config';
import { OpsServer } from '@halley/service/ops-server';

import { Comet } from './comet.js';
import { checkCometConfig, type CometConfig } from './config.js';
import { DeliveryService } from './grpc/delivery-stream.js';
import { goimComet } from './grpc/goim-comet.js';
import { LoadReporter } from './load-reporter.js';
import { MemoryTrimmer } from './memory/memory-trimmer.js';
import { processMemory } from './memory/process-memory.js';
import { GrpcLogicLink } from './logic-link-grpc.js';
import { moveTargets } from './move-targets.js';
import { CometMetrics } from './comet-metrics.js';
import type { Pages } from './transport/http/pages.js';
import { originCheck } from './transport/websocket.js';

/** What is shared with others in the process: it is used and not stopped. What is absent is made from the configuration. */
export interface CometPorts {
  readonly registry?: Registry;
  readonly log?: Logger;
  readonly metrics?: Metrics;
  /** Pages for browsers on the HTTP ports; without them every path but the clients' own is not found. */
  readonly pages?: Pages;
}

/** A comet as a service. */
export interface CometApp extends Service {
  /** As it registered; throws before the start. */
  readonly node: NodeRecord;
  /** What is missing before it can serve, as `registry: not reached`; empty is ready. */
  ready(): readonly string[];
}

/** A comet with this configuration. Nothing is opened before `start`. */
export function createCometApp(config: CometConfig, ports: CometPorts = {}): CometApp {
  return new App(config, ports);
}

const LOAD_INTERVAL_MS = 10_000;
/** How long the registry may take to hear that the node goes. */
const REGISTRY_MS = 1_000;
/** How long logic may take to hear what went wrong last. */
const REPORTS_MS = 1_000;
const RENEWAL_INTERVAL_MS = 1_000;
const RENEWAL_ROUND_MS = 8_000;

type State = 'new' | 'starting' | 'serving' | 'draining' | 'stopped';

class App implements CometApp {
  readonly name = 'comet';
  readonly #log: Logger;
  readonly #metrics: Metrics;
  readonly #ops: OpsServer;
  #state: State = 'new';
  #registry: Registry | undefined;
  #logic: TierView | undefined;
  #link: GrpcLogicLink | undefined;
  #comet: Comet | undefined;
  #grpc: GrpcServer | undefined;
  #delivery: DeliveryService | undefined;
  #self: NodeRef | undefined;
  #registration: Registration | undefined;
  #reporter: LoadReporter | undefined;
  #trimmer: MemoryTrimmer | undefined;
  #unlisten: (() => void) | undefined;
  #exceptions: ExceptionReports | undefined;

  constructor(
    private readonly config: CometConfig,
    private readonly ports: CometPorts,
  ) {
    this.#log = ports.log ?? createLogger({ ...config.log, base: { tier: 'comet' } });
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
    if (!this.#registration) throw new HalleyError('internal', 'comet has not registered yet');
    return this.#registration.record;
  }

  ready(): readonly string[] {
    const missing: string[] = [];
    if (this.#state === 'draining' || this.#state === 'stopped') missing.push('node: draining');
    if (!this.#registry?.healthy()) missing.push('registry: not reached');
    else if (!this.#registration) missing.push('registry: not registered');
    if (!this.#logic || this.#logic.nodes().length === 0) missing.push('logic: none is registered');
    return missing;
  }

  async start(): Promise<void> {
    checkCometConfig(this.config);
    this.#state = 'starting';
    const tls = await readTls(this.config);
    await this.#ops.start();
    try {
      await this.#open(tls);
    } catch (error) {
      await this.stop(2_000);
      throw error;
    }
  }

  /**
   * Unready; draining in the registry, so that nobody is sent here while what comes is still delivered; clients told to go,
   * spread over time; their routes removed; deregistered.
   */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'new') return;
    const wasServing = this.#state === 'serving';
    const until = performance.now() + deadlineMs;
    const left = (): number => Math.max(0, until - performance.now());
    this.#state = 'draining';
    const [comet, registration] = [this.#comet, this.#registration];
    await this.#reporter?.stop(0);
    await this.#trimmer?.stop(0);
    this.#unlisten?.();
    if (registration) await atMost(registration.update({ state: 'draining' }), Math.min(left(), REGISTRY_MS));
    if (comet && wasServing) {
      await comet.drain(Math.min(this.config.drain.spreadMs, left() * 0.5));
      await atMost(comet.releases.idle(), left() * 0.4);
      await atMost(Promise.all([comet.directory.leaveAll(), comet.renewal.farewell()]), left() * 0.4);
    }
    if (registration) await atMost(registration.deregister(), Math.min(left(), REGISTRY_MS));
    await comet?.stop(left() * 0.5);
    this.#delivery?.end();
    await this.#grpc?.stop(Math.min(left() * 0.5, REGISTRY_MS));
    // What there was no room for at the end is told too.
    await this.#exceptions?.stop(Math.min(left() * 0.5, REPORTS_MS));
    this.#link?.close();
    if (!this.ports.registry) await this.#registry?.stop(left() * 0.5);
    await this.#ops.stop(left());
    this.#state = 'stopped';
  }

  async #open(tls: TlsOptions | undefined): Promise<void> {
    const { config } = this;
    const log = this.#log;
    const registry = this.ports.registry ?? (await this.#ownRegistry());
    this.#registry = registry;
    this.#logic = await registry.watch('logic');
    const self = (): NodeRef => {
      if (!this.#self) throw new HalleyError('unavailable', 'The comet is still starting.');
      return this.#self;
    };
    const link = new GrpcLogicLink({
      view: this.#logic,
      sessionTimeoutMs: registry.sessionTimeoutMs,
      self,
      metrics: new CometMetrics(this.#metrics),
      client: {
        log,
        metrics: this.#metrics,
        token: config.cluster.token,
        credentials: await clientCredentials(clientTlsOf(config.cluster)),
        serverName: config.cluster.tlsServerName,
      },
    });
    this.#link = link;
    const peers = await registry.watch('comet');
    const { maxPerSecond, maxWaiting } = config.ledger;
    const exceptions = new ExceptionReports({
      tier: 'comet',
      write: (reports) => link.report(reports),
      maxPerSecond,
      maxWaiting,
      clock: systemClock,
      metrics: this.#metrics,
      log,
    });
    this.#exceptions = exceptions;
    await exceptions.start();
    const comet = new Comet(cometOptions(config, tls), {
      exceptions,
      ...(this.ports.pages ? { pages: this.ports.pages } : {}),
      elsewhere: (kind) => moveTargets(peers.nodes(), self().node, kind),
      logic: link,
      metrics: this.#metrics,
      clock: systemClock,
      log,
    });
    this.#comet = comet;
    const grpc = this.#makeGrpc(comet);
    this.#grpc = grpc;
    await grpc.start();
    // The name is known with the gRPC port, before the first client can connect.
    const identity = resolveNode(config.node, { grpc: grpc.boundPort }, 'grpc');
    this.#self = { node: identity.id, incarnation: identity.incarnation };
    await comet.start();
    this.#registration = await registry.register(this.#record(this.#self, comet, grpc));
    this.#unlisten = registry.onReregistered(() => comet.renewal.renewAllSoon());
    this.#reporter = new LoadReporter({
      registration: this.#registration,
      load: () => comet.load,
      intervalMs: LOAD_INTERVAL_MS,
      clock: systemClock,
      log,
    });
    await this.#reporter.start();
    this.#trimmer = new MemoryTrimmer({
      memory: processMemory(),
      turnover: () => comet.counter.turnover,
      sockets: () => comet.counter.sockets,
      entering: () => comet.counter.open - comet.table.size,
      quietMs: config.memory.trimAfterMs,
      clock: systemClock,
      onTrimmed: () => comet.metrics.trimmed(),
      log,
    });
    await this.#trimmer.start();
    this.#state = 'serving';
    const { sending } = comet;
    log.info({ node: this.node.id, ...this.node.addresses, auth: config.auth.mode, sending }, 'comet serves');
  }

  #makeGrpc(comet: Comet): GrpcServer {
    const { config } = this;
    const { deliverer, fanout, table, streams, earlyKicks, rooms, metrics } = comet;
    const tls = serverTlsOf(config.cluster);
    const grpc = new GrpcServer({
      host: config.node.bind,
      port: offsetPort(config.grpc.port, config.node),
      use: 'comet grpc',
      log: this.#log,
      metrics: this.#metrics,
      auth: sharedToken(config.cluster.token),
      ...(tls ? { tls } : {}),
    });
    const incarnation = (): string => this.#self?.incarnation ?? '';
    grpc.addService(protos.goim.comet.Comet.service, goimComet({ deliverer, rooms }));
    const log = this.#log;
    const delivery = new DeliveryService({
      deliverer,
      fanout,
      table,
      streams,
      earlyKicks,
      metrics,
      log,
      incarnation,
      onJob: () => comet.onJob(),
    });
    this.#delivery = delivery;
    grpc.addService(protos.halley.delivery.v1.DeliveryService.service, delivery.handlers);
    return grpc;
  }

  #record(self: NodeRef, comet: Comet, grpc: GrpcServer): NodeRecord {
    const { node } = this.config;
    const bound = { ...comet.boundPorts, grpc: grpc.boundPort, ops: this.#ops.boundPort };
    // The name was given before the other ports were bound.
    const identity = { ...resolveNode(node, bound, 'grpc'), id: self.node, incarnation: self.incarnation };
    return nodeRecord('comet', node, identity, systemClock);
  }

  async #ownRegistry(): Promise<Registry> {
    const { registry: config, node } = this.config;
    if (config.adapter === 'embedded') {
      throw embeddedOnly('comet', 'registry.adapter', 'zookeeper');
    }
    const { ZooKeeperRegistry } = await import('@halley/cluster/registry/zookeeper');
    const registry = new ZooKeeperRegistry({ config, env: node.env, log: this.#log });
    this.#registry = registry;
    await registry.start();
    return registry;
  }
}

function cometOptions(
  config: CometConfig,
  tls: TlsOptions | undefined,
): ConstructorParameters<typeof Comet>[0] {
  const { node, session, renewal } = config;
  const port = (kind: 'tcp' | 'ws' | 'tls' | 'wss'): number => offsetPort(config[kind].port, node);
  return {
    host: node.bind,
    ports: { tcp: port('tcp'), ws: port('ws'), tls: port('tls'), wss: port('wss') },
    ...(tls ? { tls } : {}),
    keepAliveMs: config.tcp.keepAliveMs,
    maxBodyBytes: session.maxBodyBytes,
    maxMessageBytes: Math.max(config.ws.maxMessageBytes, session.maxBodyBytes + 16),
    maxMessageParts: config.ws.maxMessageParts,
    session,
    presence: config.presence,
    http: config.http,
    outbox: config.outbox,
    limits: config.limits,
    trustedProxies: config.proxy.trusted,
    allowsOrigin: originCheck(config.auth.mode, config.ws.origins),
    leaveRoomAfterMs: renewal.leaveRoomAfterMs,
    renewal: {
      intervalMs: RENEWAL_INTERVAL_MS,
      roundMs: RENEWAL_ROUND_MS,
      figuresMs: renewal.figuresMs,
    },
  };
}

async function readTls({ tls }: CometConfig): Promise<TlsOptions | undefined> {
  if (tls.certFile === '') return undefined;
  const read = (key: string, file: string): Promise<Buffer> =>
    readFile(file).catch((error: unknown) => {
      throw new HalleyError('bad_config', `${key}: ${file} cannot be read`, { cause: error });
    });
  const [cert, key] = await Promise.all([
    read('tls.certFile', tls.certFile),
    read('tls.keyFile', tls.keyFile),
  ]);
  return { cert, key, minVersion: 'TLSv1.2' };
}
