import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { clusterAddresses } from '@halley/bench/check/addresses';
import { judge } from '@halley/bench/check/judge';
import { type CheckOutcome, runCheck } from '@halley/bench/check/run';
import type { ClientKind } from '@halley/bench/device/device';
import { readClusterFile } from '@halley/bench/faults/cluster-file';
import { clusterSlots } from '@halley/bench/faults/cluster-slots';
import { parseFaults } from '@halley/bench/faults/fault-list';
import { verdictLine } from '@halley/bench/report/summary';
import { ClusterStateFile } from '@halley/cli/cluster/state-file';

import { startCluster, type TestCluster } from '../harness/cluster.js';

/** The checker finds bugs of the delivery that are planted into the tiers, and nothing without them. */
const SEED = Number(process.env['HALLEY_TEST_SEED'] ?? randomInt(2 ** 31));
const HALLEY = fileURLToPath(new URL('../../packages/cli/bin/halley.js', import.meta.url));
const PLANTED = new URL('../harness/planted-bugs.mjs', import.meta.url).href;

type Tier = 'comet' | 'logic' | 'job';

interface Check {
  readonly clients: readonly ClientKind[];
  readonly faults: string;
  readonly seconds: number;
  readonly perSecond: number;
  readonly users: number;
  readonly rooms: number;
  readonly restlessPercent: number;
  readonly maxBodyBytes: number;
}

/** Whether a bug shows depends on what comes together: it is to be found in one of so many checks. */
const MOST_CHECKS = 3;

/** Bugs of one tier, separated by commas, and the check that brings them out. */
interface Exposure extends Check {
  readonly bug: string;
  readonly tier: Tier;
  /** What is found, as a violation's kind and words; a bug without is found by what it loses. */
  readonly finds?: readonly RegExp[];
}

/** Of pushes that ask for more than to be delivered. */
const TERMS: Check = {
  clients: ['goim', 'sdk'],
  faults: 'none',
  seconds: 6,
  perSecond: 250,
  users: 12,
  rooms: 1,
  restlessPercent: 80,
  maxBodyBytes: 400,
};

/** The faults and habits of them all. */
const SOUND: Check = {
  clients: ['goim', 'sdk'],
  faults: 'redis-flush,restart-mariadb',
  seconds: 24,
  perSecond: 200,
  users: 20,
  rooms: 2,
  restlessPercent: 60,
  maxBodyBytes: 16_000,
};

const EXPOSURES: readonly Exposure[] = [
  {
    bug: 'skip-the-rewind',
    tier: 'job',
    clients: ['goim', 'sdk'],
    faults: 'redis-flush',
    seconds: 14,
    perSecond: 200,
    users: 20,
    rooms: 2,
    restlessPercent: 60,
    maxBodyBytes: 400,
  },
  {
    bug: 'ignore-through',
    tier: 'comet',
    // The SDK sees that something is missing, and connects again.
    clients: ['goim'],
    faults: 'none',
    seconds: 14,
    perSecond: 150,
    users: 4,
    rooms: 2,
    restlessPercent: 100,
    maxBodyBytes: 16_000,
  },
  {
    bug: 'trim-early',
    tier: 'job',
    clients: ['goim', 'sdk'],
    faults: 'restart-mariadb',
    seconds: 19,
    perSecond: 150,
    users: 20,
    rooms: 2,
    restlessPercent: 60,
    maxBodyBytes: 400,
  },
  {
    bug: 'drop-every-1000th-frame',
    tier: 'comet',
    // The SDK sees that something is missing, and has it sent again.
    clients: ['goim'],
    faults: 'none',
    seconds: 24,
    perSecond: 300,
    users: 12,
    rooms: 0,
    restlessPercent: 0,
    maxBodyBytes: 400,
  },
  {
    ...TERMS,
    bug: 'fire-early,fire-twice',
    tier: 'job',
    finds: [/^untimely was shown \d+ ms before its time/, /^shown twice was shown again/],
  },
  {
    ...TERMS,
    bug: 'forget-the-cancelled',
    tier: 'logic',
    finds: [/^untimely was shown what was cancelled/],
  },
];

let cluster: TestCluster;

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);

afterAll(async () => {
  await cluster?.stop();
}, 30_000);

describe(`a check (seed ${SEED})`, () => {
  test('finds nothing without a bug, under the faults that bring them out', async () => {
    const sound = await check(SOUND, []);
    expect({
      verdict: verdictLine(sound),
      examples: sound.verdict.examples,
      troubles: sound.troubles,
    }).toEqual({
      verdict: 'lost 0, shown twice 0, out of order 0, phantom 0, wrong user 0, untimely 0',
      examples: [],
      troubles: [],
    });
  }, 120_000);

  test.each(EXPOSURES.map((exposure) => [exposure.bug, exposure] as const))(
    'finds %s',
    async (bug, exposure) => {
      const planted = ['--import', `${PLANTED}?bug=${bug}`];
      const names = await replaceNodes(exposure.tier, planted);
      try {
        for (const name of names) {
          const log = await logOf(name);
          for (const one of bug.split(',')) expect(log).toContain(`planted: ${one}\n`);
        }
        let missing = exposure.finds ?? [/^lost was never shown/];
        for (let checks = 0; missing.length > 0 && checks < MOST_CHECKS; checks += 1) {
          const broken = await check(exposure, planted);
          const { examples } = judge(broken.log, { endMs: broken.endMs, examples: Infinity });
          const found = examples.map(({ kind, what }) => `${kind} ${what}`);
          missing = missing.filter((what) => !found.some((text) => what.test(text)));
          expect(examples.every(({ device }) => device !== '')).toBe(true);
        }
        expect(missing).toEqual([]);
      } finally {
        await replaceNodes(exposure.tier, []);
      }
    },
    240_000,
  );
});

/** Kills the nodes of a tier and starts others in their places. Answers the names in whose logs they write. */
async function replaceNodes(tier: Tier, nodeArguments: readonly string[]): Promise<string[]> {
  const { nodes } = await targets(nodeArguments);
  const replaced = nodes.filter(({ name }) => name.startsWith(`${tier}-`));
  await Promise.all(replaced.map((node) => node.kill()));
  await Promise.all(replaced.map((node) => node.start()));
  return replaced.map(({ name }) => name);
}

/** The cluster's processes; those that are started again get the arguments of node. */
async function targets(nodeArguments: readonly string[]) {
  const { file } = cluster.cluster.stateFile;
  return clusterSlots(await readClusterFile(file), {
    command: [process.execPath, ...nodeArguments, HALLEY],
    onServiceRestarted: (service, pid) =>
      new ClusterStateFile(file).update((state) => ({
        ...state,
        services: { ...state.services, [service]: { ...state.services[service], pid } },
      })),
  });
}

function logOf(name: string): Promise<string> {
  return readFile(path.join(cluster.cluster.logs, `${name}.log`), 'utf8');
}

async function check(exposure: Check, nodeArguments: readonly string[]): Promise<CheckOutcome> {
  const { clients, faults, seconds, perSecond, users, rooms, restlessPercent, maxBodyBytes } = exposure;
  return runCheck({
    addresses: clusterAddresses(await readClusterFile(cluster.cluster.stateFile.file)),
    targets: await targets(nodeArguments),
    faults: parseFaults(faults),
    durationMs: seconds * 1_000,
    perSecond,
    users,
    rooms,
    restlessPercent,
    clients,
    maxBodyBytes,
    seed: SEED,
    patienceMs: 8_000,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  });
}
