import { randomInt } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Addresses, clusterAddresses } from '@halley/bench/check/addresses';
import { type CheckOutcome, runCheck } from '@halley/bench/check/run';
import { readClusterFile } from '@halley/bench/faults/cluster-file';
import { isPassed } from '@halley/bench/report/summary';
import type { Frame } from '@halley/protocol/frame';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { HalleyProcess } from '../harness/halley-process.js';
import { FrameProxy, type Tampering } from './frame-proxy.js';

/** The checker on a real cluster: it finds nothing where nothing is wrong, and what is done to what clients are sent. */
const SEED = Number(process.env['HALLEY_TEST_SEED'] ?? randomInt(2 ** 31));
const ZEROS = { lost: 0, 'shown twice': 0, 'out of order': 0, phantom: 0, 'wrong user': 0, untimely: 0 };
const EVERY = 50;

let cluster: TestCluster;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(path.join(os.tmpdir(), 'halley-check-'));
  cluster = await startCluster();
}, 120_000);

afterAll(async () => {
  await cluster?.stop();
  await rm(dir, { recursive: true, force: true });
}, 30_000);

/** The part of `halley check --json` that is looked at. */
interface Result {
  readonly passed: boolean;
  readonly seed: number;
  readonly violations: Readonly<Record<string, number>>;
  readonly counts: { readonly ok: number; readonly deliveries: number };
  readonly troubles: readonly string[];
  readonly faults: readonly { readonly name: string }[];
  readonly examples: readonly unknown[];
}

async function halleyCheck(...args: string[]): Promise<{ code: number | null; result: Result }> {
  const { file } = cluster.cluster.stateFile;
  const check = HalleyProcess.spawn(['check', '--against', file, '--seed', String(SEED), '--json', ...args]);
  const { code } = await check.exited;
  try {
    return { code, result: JSON.parse(check.stdout) as Result };
  } catch {
    throw new Error(`halley check printed no result, but: ${check.output}`);
  }
}

describe(`halley check (seed ${SEED})`, () => {
  test('finds nothing wrong while a comet and a job are killed, and writes its report', async () => {
    const report = path.join(dir, 'report.html');
    const { code, result } = await halleyCheck(
      '--faults',
      'kill-comet,kill-job',
      '--duration',
      '30',
      '--report',
      report,
    );
    const { passed, seed, violations, troubles, faults, counts, examples } = result;
    expect({ violations, troubles, examples }).toEqual({ violations: ZEROS, troubles: [], examples: [] });
    expect({ passed, code, seed }).toEqual({ passed: true, code: 0, seed: SEED });
    expect(new Set(faults.map(({ name }) => name.split(' ')[0]))).toEqual(
      new Set(['kill-comet', 'kill-job']),
    );
    expect(counts.ok).toBeGreaterThan(1_000);
    expect(counts.deliveries).toBeGreaterThan(counts.ok);
    const html = await readFile(report, 'utf8');
    expect(html).toContain('Halley check: passed');
    expect(html).toContain('<svg');
  }, 120_000);

  test('leaves the cluster whole: a second one, with other services broken, passes too', async () => {
    const { code, result } = await halleyCheck('--faults', 'redis-flush,drop-clients', '--duration', '15');
    const { violations, troubles, examples } = result;
    expect({ violations, troubles, examples }).toEqual({ violations: ZEROS, troubles: [], examples: [] });
    expect(code).toBe(0);
  }, 90_000);
});

/** Every so many pushes of a connection are dealt with as told, the others handed over. */
function everySoMany(deal: (push: Frame, others: { kept?: Frame }) => readonly Frame[]): () => Tampering {
  return () => {
    let count = 0;
    const others: { kept?: Frame } = {};
    return (push) => {
      count += 1;
      if (count % EVERY === 0) return deal(push, others);
      const { kept } = others;
      delete others.kept;
      return kept ? [push, kept] : [push];
    };
  };
}

describe('what is done to the frames on their way is found', () => {
  test.each([
    ['one in fifty is dropped', 'lost', everySoMany(() => [])],
    [
      'one in fifty comes after the next',
      'out of order',
      everySoMany((push, others) => ((others.kept = push), [])),
    ],
    ['one in fifty comes twice', 'shown twice', everySoMany((push) => [push, push])],
    [
      'one in fifty has another number',
      'phantom',
      everySoMany((push) => [{ ...push, body: Buffer.from(raised(push.body)) }]),
    ],
    [
      'one in fifty is that of another user',
      'wrong user',
      everySoMany((push) => [{ ...push, body: Buffer.from(misdirected(push.body)) }]),
    ],
  ] as const)('%s', async (_, kind, tampering) => {
    const { verdict, ...outcome } = await checkThrough(tampering);
    expect(verdict.violations[kind]).toBeGreaterThan(0);
    expect(isPassed({ ...outcome, verdict })).toBe(false);
    expect(verdict.examples.some((example) => example.kind === kind && example.device !== '')).toBe(true);
  });
});

/** A short check whose clients all go through proxies. */
async function checkThrough(tampering: () => Tampering): Promise<CheckOutcome> {
  const direct: Addresses = clusterAddresses(await readClusterFile(cluster.cluster.stateFile.file));
  const proxies = await Promise.all(
    direct.tcp.map((address) => FrameProxy.start(address.slice('tcp://'.length), tampering)),
  );
  try {
    return await runCheck({
      addresses: { ...direct, tcp: proxies.map(({ address }) => `tcp://${address}`), websocket: [] },
      targets: { nodes: [], services: [] },
      faults: [],
      durationMs: 5_000,
      perSecond: 150,
      users: 4,
      rooms: 0,
      restlessPercent: 0,
      clients: ['goim'],
      maxBodyBytes: 400,
      seed: SEED,
      patienceMs: 2_500,
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
  } finally {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
  }
}

/** The number of a body, raised beyond what is pushed. */
function raised(body: Uint8Array): string {
  return Buffer.from(body)
    .toString()
    .replace(/\/(\d+)\//, '/9$1000/');
}

/** A body with the stream of the next user. */
function misdirected(body: Uint8Array): string {
  return Buffer.from(body)
    .toString()
    .replace(/\/user-(\d+)\/\d+\//, (_, user: string) => `/user-${(Number(user) + 1) % 4}/0/`);
}
