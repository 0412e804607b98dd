import { HalleyError } from '@halley/protocol/error';

import { Random } from '../random.js';
import type { Fault, FaultTargets, ServiceSlot, Slot } from './fault.js';
import { expireSessions } from './expire-sessions.js';
import { flushRedis } from './flush-redis.js';
import { type Link, LINKS } from './network.js';

/** A kind of fault. */
export interface FaultKind {
  readonly name: string;
  /** For the list of them. */
  readonly description: string;
  /** Time between the fault and putting it right, unless the list of faults says another. */
  readonly holdMs: number;
  /** About how long putting it right takes, to plan with. */
  readonly healMs: number;
  /** What it needs of a cluster; a check against addresses alone has none of it. */
  readonly needs: 'comet' | 'logic' | 'job' | 'nodes' | ServiceName | 'clients';
  /** What it cuts nodes off from: there must be relays before it begins. */
  readonly link?: Link;
  /** `turn` counts up with each fault of the kind: nodes are taken in turn. */
  make(targets: FaultTargets, turn: number): Fault;
}

export type ServiceName = 'kafka' | 'redis' | 'zookeeper' | 'mariadb';

const TIERS = ['comet', 'logic', 'job'] as const;
const SERVICES: Readonly<Record<ServiceName, { readonly title: string; readonly afterRestart: string }>> = {
  kafka: { title: 'Kafka', afterRestart: '' },
  redis: { title: 'Redis', afterRestart: ', empty unless it has the bus' },
  zookeeper: { title: 'ZooKeeper', afterRestart: '' },
  mariadb: { title: 'MariaDB', afterRestart: '' },
};
const KILLED_MS = 2_000;
const PAUSED_MS = 30_000;
const SERVICE_PAUSED_MS = 15_000;
const SERVICE_AWAY_MS = 3_000;
const PARTITIONED_MS = 15_000;
const CHURN_MS = 10_000;

/** Every kind of fault, in the order in which they are listed. */
export const CATALOGUE: readonly FaultKind[] = [
  ...TIERS.map((tier) => killNode(tier)),
  {
    name: 'kill-all',
    description: 'kill -9 every comet, logic and job at once, start them again',
    holdMs: KILLED_MS,
    healMs: 8_000,
    needs: 'nodes',
    make: ({ nodes }) => ({
      name: 'kill-all',
      inject: async () => void (await Promise.all(nodes.map((node) => node.kill()))),
      heal: async () => void (await Promise.all(nodes.map((node) => node.start()))),
    }),
  },
  {
    name: 'kill-random',
    description: 'kill -9 any one comet, logic or job, start it again',
    holdMs: KILLED_MS,
    healMs: 5_000,
    needs: 'nodes',
    make: ({ nodes }, turn) => {
      const node = new Random(turn).pick(nodes);
      return { name: `kill-random ${node.name}`, inject: () => node.kill(), heal: () => node.start() };
    },
  },
  ...TIERS.map((tier) => pauseNode(tier)),
  ...(Object.keys(SERVICES) as ServiceName[]).flatMap((name) => [restartService(name), pauseService(name)]),
  {
    name: 'redis-flush',
    description: 'FLUSHALL: Redis is empty at once',
    holdMs: 0,
    healMs: 0,
    needs: 'redis',
    make: (targets) => {
      const redis = serviceOf(targets, 'redis');
      return {
        name: 'redis-flush',
        forgetsIds: true,
        inject: () => flushRedis(redis.address),
        heal: () => Promise.resolve(),
      };
    },
  },
  {
    name: 'expire-sessions',
    description: 'the ZooKeeper sessions of all nodes end at once, while the nodes live',
    holdMs: 0,
    healMs: 3_000,
    needs: 'zookeeper',
    make: (targets) => {
      const zookeeper = serviceOf(targets, 'zookeeper');
      return {
        name: 'expire-sessions',
        inject: async () => {
          const count = await expireSessions(zookeeper.address);
          if (count < targets.nodes.length) throw new Error(`only ${count} nodes are registered`);
        },
        heal: () => Promise.resolve(),
      };
    },
  },
  ...LINKS.map((link) => partition(link)),
  {
    name: 'drop-clients',
    description: 'the connections of all clients end at once; they come back by themselves',
    holdMs: 0,
    healMs: 2_000,
    needs: 'clients',
    make: (targets) => ({
      name: 'drop-clients',
      inject: async () => targets.dropClients(),
      heal: () => Promise.resolve(),
    }),
  },
  {
    name: 'churn-client',
    description: 'one client reconnects over and over, each time to the next comet',
    holdMs: CHURN_MS,
    healMs: 1_000,
    needs: 'clients',
    make: (targets, turn) => {
      let end = (): void => undefined;
      return {
        name: 'churn-client',
        inject: async () => void (end = targets.churnClient(turn)),
        heal: async () => end(),
      };
    },
  },
];

function killNode(tier: (typeof TIERS)[number]): FaultKind {
  return {
    name: `kill-${tier}`,
    description: `kill -9 one ${tier}, each in turn, start it again`,
    holdMs: KILLED_MS,
    healMs: 5_000,
    needs: tier,
    make: (targets, turn) => {
      const node = nodeOf(targets, tier, turn);
      return { name: `kill-${tier} ${node.name}`, inject: () => node.kill(), heal: () => node.start() };
    },
  };
}

function pauseNode(tier: (typeof TIERS)[number]): FaultKind {
  return {
    name: `pause-${tier}`,
    description: `SIGSTOP one ${tier}, each in turn`,
    holdMs: PAUSED_MS,
    healMs: 1_000,
    needs: tier,
    make: (targets, turn) => pausing(`pause-${tier}`, nodeOf(targets, tier, turn)),
  };
}

function restartService(service: ServiceName): FaultKind {
  const { title, afterRestart } = SERVICES[service];
  return {
    name: `restart-${service}`,
    description: `kill -9 ${title}, start it again${afterRestart}`,
    holdMs: SERVICE_AWAY_MS,
    healMs: 8_000,
    needs: service,
    make: (targets) => {
      const slot = serviceOf(targets, service);
      return {
        name: `restart-${service}`,
        forgetsIds: service === 'redis' && targets.bus !== 'redis',
        inject: () => slot.kill(),
        heal: () => slot.start(),
      };
    },
  };
}

function pauseService(service: ServiceName): FaultKind {
  return {
    name: `pause-${service}`,
    description: `SIGSTOP ${SERVICES[service].title}`,
    holdMs: SERVICE_PAUSED_MS,
    healMs: 2_000,
    needs: service,
    make: (targets) => ({
      ...pausing(`pause-${service}`, serviceOf(targets, service)),
      name: `pause-${service}`,
    }),
  };
}

function partition(link: Link): FaultKind {
  const isTier = link === 'comet' || link === 'logic';
  return {
    name: `partition-${link}`,
    description: isTier
      ? `the other tiers cannot reach one ${link}, each in turn; clients and callers can`
      : `one node cannot reach ${SERVICES[link].title}, each in turn`,
    holdMs: PARTITIONED_MS,
    healMs: 2_000,
    needs: 'nodes',
    link,
    make: ({ network }, turn) => {
      const cuttable = network?.pick(link, turn);
      if (!cuttable) throw new HalleyError('invalid_argument', `no node can be cut off from ${link}`);
      return {
        name: `partition-${link} ${cuttable.node}`,
        inject: async () => cuttable.cut(),
        heal: async () => cuttable.mend(),
      };
    },
  };
}

function pausing(name: string, slot: Slot): Fault {
  return {
    name: `${name} ${slot.name}`,
    inject: async () => slot.pause(),
    heal: async () => slot.resume(),
  };
}

function nodeOf({ nodes }: FaultTargets, tier: string, turn: number): Slot {
  const ofTier = nodes.filter(({ name }) => name.startsWith(`${tier}-`));
  const node = ofTier[turn % ofTier.length];
  if (!node) throw new HalleyError('invalid_argument', `the cluster has no ${tier}`);
  return node;
}

function serviceOf({ services }: FaultTargets, service: ServiceName): ServiceSlot {
  const slot = services.find(({ name }) => name === service);
  if (!slot) throw new HalleyError('invalid_argument', `the cluster has no ${service}`);
  return slot;
}
