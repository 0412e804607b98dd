import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { TierProcess } from '@halley/cli/cluster/tier-process';
import type { Tier } from '@halley/cluster/registry/registry';
import { mariadbUrl } from '@halley/services/mariadb';
import { createConnection } from 'mysql2/promise';

import { freePortOffset } from './ports.js';

const TIERS: readonly Tier[] = ['comet', 'logic', 'job'];

export interface TiersShape {
  /** Kafka's brokers, which no other test uses. */
  readonly brokers: readonly string[];
  /** Where routes and streams are, as `['--routes.url=…']`. Default: the Redis of the run. */
  readonly redis?: readonly string[];
  readonly nodes?: Readonly<Record<Tier, number>>;
  /** More arguments for the nodes of a tier. */
  readonly arguments?: Readonly<Partial<Record<Tier, readonly string[]>>>;
}

/**
 * Nodes of each tier, one process each, on services that the test has started, and on those of the run apart from what
 * other tests have there. Whoever starts them stops them.
 */
export class Tiers {
  private constructor(
    readonly nodes: readonly TierProcess[],
    private readonly dir: string,
  ) {}

  static async start(shape: TiersShape): Promise<Tiers> {
    const dir = await mkdtemp(path.join(os.tmpdir(), 'halley-tiers-'));
    const counts = shape.nodes ?? { comet: 2, logic: 2, job: 2 };
    const offset = await freePortOffset(Math.max(...Object.values(counts)));
    const belonging = await argumentsOf(shape);
    const nodes = TIERS.flatMap((tier) =>
      Array.from(
        { length: counts[tier] },
        (_, at) =>
          new TierProcess({
            tier,
            index: at + 1,
            portOffset: offset + 100 * at,
            arguments: [...belonging[tier], ...(shape.arguments?.[tier] ?? [])],
            logs: dir,
          }),
      ),
    );
    const tiers = new Tiers(nodes, dir);
    try {
      await Promise.all(nodes.map((node) => node.start()));
      return tiers;
    } catch (error) {
      await tiers.stop();
      throw error;
    }
  }

  node(name: string): TierProcess {
    const node = this.nodes.find((one) => one.name === name);
    if (!node) throw new Error(`there is no ${name}`);
    return node;
  }

  /** `127.0.0.1:port` of a node. */
  address(name: string, kind: string): string {
    const port = this.node(name).ports[kind];
    if (port === undefined) throw new Error(`${name} has no ${kind}`);
    return `127.0.0.1:${port}`;
  }

  async stop(): Promise<void> {
    const logics = this.nodes.filter(({ tier }) => tier === 'logic');
    await Promise.all(this.nodes.filter(({ tier }) => tier !== 'logic').map((node) => node.stop(5_000)));
    await Promise.all(logics.map((node) => node.stop(3_000)));
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** What makes a node belong together with the others. */
async function argumentsOf({ brokers, redis }: TiersShape): Promise<Record<Tier, readonly string[]>> {
  const own = `tiers-${randomUUID().slice(0, 8)}`;
  const mariadb = process.env['HALLEY_TEST_MARIADB'] ?? '';
  const admin = await createConnection(mariadbUrl(mariadb));
  await admin.query(`CREATE DATABASE \`${own}\``);
  await admin.end();
  const registry = [`--node.env=${own}`, `--registry.servers=${process.env['HALLEY_TEST_ZOOKEEPER']}`];
  const stores = [
    `--bus.brokers=${brokers.join(',')}`,
    ...(redis ?? [`--routes.url=redis://${process.env['HALLEY_TEST_REDIS']}`]),
    `--routes.keyPrefix=${own}:`,
    `--archive.url=${mariadbUrl(mariadb, own)}`,
  ];
  const open = ['--auth.mode=open'];
  return {
    comet: [...registry, ...open],
    logic: [...registry, ...stores, ...open],
    job: [...registry, ...stores],
  };
}
