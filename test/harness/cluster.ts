import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { LocalCluster } from '@halley/cli/cluster/local-cluster';
import type { Tier } from '@halley/cluster/registry/registry';

import { freePortOffset } from './ports.js';
import type { Target } from './target.js';

export interface ClusterShape {
  readonly comets?: number;
  readonly logics?: number;
  readonly jobs?: number;
  /** Where pushes are made durable; what HALLEY_TEST_BUS says by default, else Kafka. */
  readonly bus?: 'kafka' | 'redis';
  /** More arguments for the nodes of a tier, as `['--session.handshakeTimeoutMs', '500']`. */
  readonly arguments?: Readonly<Partial<Record<Tier, readonly string[]>>>;
}

/** A cluster of the built command on services, ports and folders of its own. Whoever starts one stops it. */
export class TestCluster {
  private constructor(
    readonly cluster: LocalCluster,
    /** What it said, a line at a time. */
    readonly said: readonly string[],
    private readonly dir: string,
  ) {}

  static async start(shape: ClusterShape = {}): Promise<TestCluster> {
    const { comets = 2, logics = 2, jobs = 2 } = shape;
    for (let attempt = 1; ; attempt += 1) {
      const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-cluster-'));
      const said: string[] = [];
      const cluster = new LocalCluster({
        dir,
        portOffset: await freePortOffset(Math.max(comets, logics, jobs)),
        nodes: { comet: comets, logic: logics, job: jobs },
        bus: shape.bus ?? (process.env['HALLEY_TEST_BUS'] === 'redis' ? 'redis' : 'kafka'),
        ...(shape.arguments ? { arguments: shape.arguments } : {}),
        say: (line) => said.push(line),
      });
      const test = new TestCluster(cluster, said, dir);
      try {
        await cluster.start();
        return test;
      } catch (error) {
        await test.stop();
        const why = [...said, String(error)].join('\n');
        // The services of the cluster itself, started in between, may have one of the ports.
        if (attempt === 3 || !/ is taken /.test(why)) throw new Error(why, { cause: error });
      }
    }
  }

  /** Starts one more node, on the next ports, and waits until it is ready. Answers its name. */
  async add(tier: Tier): Promise<string> {
    return (await this.cluster.add(tier)).name;
  }

  /** Ends a node: SIGKILL at once, SIGTERM in an orderly way. Resolves when it is gone; nothing restarts it. */
  async kill(name: string, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    const node = this.cluster.node(name);
    if (signal === 'SIGKILL') await node.kill();
    else await node.stop(12_000);
  }

  ports(name: string): Readonly<Record<string, number>> {
    return this.cluster.node(name).ports;
  }

  /** `127.0.0.1:port` of a node. */
  address(name: string, kind: string): string {
    const port = this.ports(name)[kind];
    if (port === undefined) throw new Error(`${name} has no ${kind}`);
    return `127.0.0.1:${port}`;
  }

  /** The addresses of one comet and one logic, as the suites take them. */
  target(comet = 'comet-1', logic = 'logic-1'): Target {
    return {
      tcp: this.address(comet, 'tcp'),
      ws: `ws://${this.address(comet, 'ws')}/sub`,
      cometGrpc: this.address(comet, 'grpc'),
      logicHttp: `http://${this.address(logic, 'http')}`,
      logicGrpc: this.address(logic, 'grpc'),
    };
  }

  /** The last lines of a node's log. */
  log(name: string, lines = 40): string {
    return this.cluster.node(name).logTail(lines);
  }

  /** Kafka, ZooKeeper, Redis and MariaDB, to kill, pause and restart. */
  get services() {
    const { cluster } = this;
    return {
      /** Throws where the bus is in Redis. */
      get kafka() {
        return cluster.service('kafka');
      },
      zookeeper: this.cluster.service('zookeeper'),
      redis: this.cluster.service('redis'),
      mariadb: this.cluster.service('mariadb'),
    };
  }

  async stop(): Promise<void> {
    await this.cluster.stop(9_000);
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Two of each tier, or as many as are asked for, ready. */
export function startCluster(shape?: ClusterShape): Promise<TestCluster> {
  return TestCluster.start(shape);
}
