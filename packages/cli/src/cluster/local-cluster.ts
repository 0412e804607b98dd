import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Tier } from '@halley/cluster/registry/registry';
import { HalleyError } from '@halley/protocol/error';
import { type DataLock, lockDataFolder } from '@halley/service/data-lock';
import { isReady } from '@halley/service/is-ready';
import type { Service } from '@halley/service/lifecycle';
import { requireFreePorts } from '@halley/service/port-holder';
import { isAlive } from '@halley/services/cache';
import { startKafka } from '@halley/services/kafka';
import { mariadbUrl, startMariadb } from '@halley/services/mariadb';
import { startRedis } from '@halley/services/redis';
import { requireServices } from '@halley/services/requirements';
import type { RunningService, StartOptions } from '@halley/services/running-service';
import { ServiceStartError } from '@halley/services/service-process';
import { startZooKeeper } from '@halley/services/zookeeper';

import {
  type ClusterBus,
  type ClusterProcess,
  type ClusterService,
  ClusterStateFile,
  type ServiceName,
} from './state-file.js';
import { portsAt, TierProcess } from './tier-process.js';

const TIERS: readonly Tier[] = ['comet', 'logic', 'job'];

/** Between looks at nodes that others have added with `--join`. */
const WATCH_MS = 500;

export interface LocalClusterOptions {
  /** Folder for cluster.json, the logs and the services' data; one cluster at a time. */
  readonly dir: string;
  /** Added to every port of the tiers. */
  readonly portOffset: number;
  /** How many of each tier. */
  readonly nodes: Readonly<Record<Tier, number>>;
  /** Where pushes are made durable: Kafka by default; with `redis` there is none. */
  readonly bus?: ClusterBus;
  /** More that all nodes of a tier have, also those that others add with `--join`. */
  readonly shared?: Readonly<Partial<Record<Tier, readonly string[]>>>;
  /** More arguments for the nodes of a tier. */
  readonly arguments?: Readonly<Partial<Record<Tier, readonly string[]>>>;
  /** Told what is going on, a line at a time. */
  readonly say: (line: string) => void;
}

/**
 * The real cluster on one machine: Kafka (unless the bus is in Redis), ZooKeeper, Redis and MariaDB, and nodes of each tier in processes of their own, which
 * are never restarted. All of it ends with this process at the latest.
 */
export class LocalCluster implements Service {
  readonly name = 'cluster';
  readonly logs: string;
  readonly stateFile: ClusterStateFile;
  readonly nodes: TierProcess[] = [];
  readonly bus: ClusterBus;
  readonly #services = new Map<ServiceName, RunningService>();
  readonly #started: Record<Tier, number> = { comet: 0, logic: 0, job: 0 };
  /** Of the services that were started here. */
  readonly #servicePids = new Set<number>();
  #lock: DataLock | undefined;
  #watch: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(private readonly options: LocalClusterOptions) {
    this.bus = options.bus ?? 'kafka';
    this.logs = join(options.dir, 'logs');
    this.stateFile = new ClusterStateFile(join(options.dir, 'cluster.json'));
  }

  /** A running service, to break it or to ask where it is. */
  service(name: ServiceName): RunningService {
    const service = this.#services.get(name);
    if (!service) throw new Error(`${name} has not started`);
    return service;
  }

  /** A node by its name, as `comet-1`. */
  node(name: string): TierProcess {
    const node = this.nodes.find((one) => one.name === name);
    if (!node) throw new Error(`there is no ${name}`);
    return node;
  }

  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (error) {
      if (!(error instanceof ServiceStartError)) throw error;
      for (const line of error.tail.split('\n')) this.options.say(`  ${line}`);
      throw new HalleyError('internal', `${error.summary} Its log is ${error.logFile}`);
    }
  }

  /** Starts one more node of a tier and waits until it is ready. */
  async add(tier: Tier): Promise<TierProcess> {
    const node = await this.#launch(tier);
    await this.#untilReady(node);
    return node;
  }

  /** Ends the nodes, then the services: within the deadline, whatever they do. Idempotent. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#watch);
    // comet needs logic to give up its routes, and all need the services; they get the larger part of the time.
    const logics = this.nodes.filter(({ tier }) => tier === 'logic');
    const others = this.nodes.filter(({ tier }) => tier !== 'logic');
    await Promise.all(others.map((node) => node.stop(deadlineMs * 0.5)));
    await Promise.all(logics.map((node) => node.stop(deadlineMs * 0.25)));
    await Promise.all([...this.#services.values()].map((service) => service.stop(deadlineMs * 0.2)));
    await this.#endReplaced();
    if (!this.#lock) return;
    await this.stateFile.remove();
    for (const name of this.#services.keys())
      await rm(join(this.#lock.folder, name), { recursive: true, force: true });
    await this.#lock.release();
    this.#lock = undefined;
  }

  async #start(): Promise<void> {
    const { nodes, say } = this.options;
    // First of all: a machine that can't run them is left as it is.
    await requireServices({ kafka: this.bus === 'kafka' });
    await this.#claim();
    await this.#startServices();
    await this.stateFile.write({
      pid: process.pid,
      processes: [],
      bus: this.bus,
      services: {
        ...(this.bus === 'kafka' ? { kafka: this.#where('kafka') } : {}),
        zookeeper: this.#where('zookeeper'),
        redis: this.#where('redis'),
        mariadb: this.#where('mariadb'),
      },
      arguments: { comet: this.#joining('comet'), logic: this.#joining('logic'), job: this.#joining('job') },
    });
    say(`Starting ${TIERS.map((tier) => `${nodes[tier]} ${tier}`).join(', ')}, one process each`);
    const launched: TierProcess[] = [];
    for (const tier of TIERS)
      for (let count = 0; count < nodes[tier]; count += 1) launched.push(await this.#launch(tier));
    await Promise.all(launched.map((node) => this.#untilReady(node)));
    this.#watch = setInterval(() => void this.#watchJoined().catch(() => undefined), WATCH_MS);
  }

  /** Takes the folder and looks for taken ports, before anything is started. */
  async #claim(): Promise<void> {
    const { dir, nodes, portOffset } = this.options;
    this.#lock = await lockDataFolder(join(dir, 'cluster')).catch((error: unknown) => {
      const holder =
        error instanceof HalleyError && / is in use by (pid .*); stop it/.exec(error.message)?.[1];
      if (!holder) throw error;
      throw new HalleyError(
        'bad_config',
        `a cluster runs in ${dir} already: ${holder}; stop it, or start another with --dir and --port-offset`,
      );
    });
    const offset = portOffset + 100 * (Math.max(...Object.values(nodes)) - 1);
    const claims = TIERS.flatMap((tier) =>
      Array.from({ length: nodes[tier] }, (_, index) =>
        Object.entries(portsAt(tier, portOffset + 100 * index)).map(([use, port]) => ({
          host: '127.0.0.1',
          port,
          use: `${tier}-${index + 1} ${use}`,
          offset,
        })),
      ).flat(),
    );
    await requireFreePorts(claims);
    await this.stateFile.remove();
    await rm(this.logs, { recursive: true, force: true });
    await mkdir(this.logs, { recursive: true });
  }

  /** A fresh set of services: what a cluster that was killed left behind is of no use without its Redis. */
  async #startServices(): Promise<void> {
    const { say } = this.options;
    const isInRedis = this.bus === 'redis';
    say(
      isInRedis
        ? 'Starting ZooKeeper, Redis with the bus, and MariaDB'
        : 'Starting Kafka, ZooKeeper, Redis and MariaDB',
    );
    const folder = this.#lock?.folder ?? '';
    const starts = {
      ...(isInRedis ? {} : { kafka: startKafka }),
      zookeeper: startZooKeeper,
      redis: (options: StartOptions) => startRedis({ ...options, appendOnly: isInRedis }),
      mariadb: startMariadb,
    };
    const results = await Promise.allSettled(
      Object.entries(starts).map(async ([name, start]) => {
        const dir = join(folder, name);
        await rm(dir, { recursive: true, force: true });
        const service = await start({ dir, logFile: join(this.logs, `${name}.log`), progress: say });
        this.#services.set(name as ServiceName, service);
        if (service.pid !== undefined) this.#servicePids.add(service.pid);
        if (this.#stopping) await service.stop(0);
        this.#tellExit(service, service.logFile);
      }),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }

  async #launch(tier: Tier): Promise<TierProcess> {
    if (this.#stopping) throw new Error('the cluster is being stopped');
    const index = (this.#started[tier] += 1);
    const node = new TierProcess({
      tier,
      index,
      portOffset: this.options.portOffset + 100 * (index - 1),
      arguments: [...this.#joining(tier), ...(this.options.arguments?.[tier] ?? [])],
      logs: this.logs,
    });
    this.nodes.push(node);
    await node.launch();
    const entry: ClusterProcess = {
      name: node.name,
      tier,
      pid: node.pid ?? 0,
      ports: node.ports,
      state: 'starting',
    };
    await this.stateFile.update((state) => ({ ...state, processes: [...state.processes, entry] }));
    this.#tellExit(node, node.logFile, entry.pid);
    return node;
  }

  async #untilReady(node: TierProcess): Promise<void> {
    await node.untilReady();
    const { pid } = node;
    if (pid === undefined) return;
    await this.stateFile.setState(pid, 'ready');
    const ports = Object.entries(node.ports).map(([name, port]) => `${name} ${port}`);
    this.options.say(`${node.name} is ready: ${ports.join(', ')} (pid ${pid})`);
  }

  #tellExit(process: RunningService | TierProcess, logFile: string, pid?: number): void {
    void process.exited.then(async () => {
      if (this.#stopping) return;
      if (pid !== undefined) await this.stateFile.setState(pid, 'exited');
      this.options.say(
        `${process.name} ended with ${process.ending}; it is not restarted. Its log is ${logFile}`,
      );
    });
  }

  /** Nodes that others have added: whether they are ready, whether they still are. */
  async #watchJoined(): Promise<void> {
    const own = new Set(this.nodes.map(({ name }) => name));
    const state = await this.stateFile.read();
    for (const { name, pid, ports, state: known } of state?.processes ?? []) {
      if (own.has(name) || known === 'exited') continue;
      if (!isAlive(pid)) {
        await this.stateFile.setState(pid, 'exited');
        this.options.say(`${name} has left`);
      } else if (known === 'starting' && (await isReady(ports['ops'] ?? 0))) {
        await this.stateFile.setState(pid, 'ready');
        this.options.say(`${name} has joined (pid ${pid})`);
      }
    }
  }

  #where(name: ServiceName): ClusterService {
    const service = this.service(name);
    const { file, args, cwd = service.dir, env = {} } = service.spec;
    const more = Object.entries(env).flatMap(([key, value]) =>
      value === undefined || value === process.env[key] ? [] : [[key, value]],
    );
    return {
      address: service.address,
      pid: service.pid ?? 0,
      start: { file, args, cwd, env: Object.fromEntries(more) as Record<string, string> },
    };
  }

  /** Ends services that others have started in the place of ours: nothing may write into the folders that are removed. */
  async #endReplaced(): Promise<void> {
    const state = await this.stateFile.read();
    const own = this.#servicePids;
    const replaced = Object.values(state?.services ?? {}).filter(({ pid }) => !own.has(pid) && isAlive(pid));
    for (const { pid } of replaced) process.kill(pid, 'SIGKILL');
    const until = performance.now() + 2_000;
    while (replaced.some(({ pid }) => isAlive(pid)) && performance.now() < until) await sleep(10);
  }

  /** What makes a node of the tier belong to this cluster. comet knows neither Kafka nor Redis nor MariaDB. */
  #joining(tier: Tier): string[] {
    const shared = this.options.shared?.[tier] ?? [];
    const registry = ['--registry.servers', this.service('zookeeper').address];
    const bus =
      this.bus === 'redis'
        ? ['--bus.adapter', 'redis', '--bus.redis.fsync', 'always']
        : ['--bus.brokers', this.service('kafka').address];
    const redis = ['--routes.url', `redis://${this.service('redis').address}`];
    const archive = ['--archive.url', mariadbUrl(this.service('mariadb').address)];
    const open = ['--auth.mode', 'open'];
    switch (tier) {
      case 'comet':
        return [...registry, ...open, ...shared];
      case 'logic':
        return [...registry, ...bus, ...redis, ...archive, ...open, ...shared];
      case 'job':
        return [...registry, ...bus, ...redis, ...archive, ...shared];
    }
  }
}
