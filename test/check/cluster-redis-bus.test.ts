import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { startCluster, type TestCluster } from '../harness/cluster.js';
import { HalleyProcess } from '../harness/halley-process.js';

/** A cluster without Kafka. More faults, as `kill-comet,kill-logic,kill-job,pause-redis`, take longer: HALLEY_TEST_FAULTS. */
const SEED = Number(process.env['HALLEY_TEST_SEED'] ?? randomInt(2 ** 31));
const FAULTS = process.env['HALLEY_TEST_FAULTS'] ?? 'kill-all:1,restart-redis:1';
const SECONDS = process.env['HALLEY_TEST_SECONDS'] ?? '26';
const ZEROS = { lost: 0, 'shown twice': 0, 'out of order': 0, phantom: 0, 'wrong user': 0, untimely: 0 };

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ bus: 'redis' });
}, 120_000);
afterAll(() => cluster?.stop(), 30_000);

test('the cluster has no Kafka, and its file says where the bus is', async () => {
  const state = JSON.parse(await readFile(cluster.cluster.stateFile.file, 'utf8')) as {
    readonly bus: string;
    readonly services: object;
  };
  expect(state.bus).toBe('redis');
  expect(Object.keys(state.services)).toEqual(['zookeeper', 'redis', 'mariadb']);
  expect(cluster.said.join('\n')).not.toContain('Kafka');
});

test(`nothing is lost while every tier is killed and Redis restarts (seed ${SEED})`, async () => {
  const { file } = cluster.cluster.stateFile;
  const options = { against: file, seed: SEED, faults: FAULTS, duration: SECONDS };
  const args = Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)]);
  const check = HalleyProcess.spawn(['check', '--json', ...args]);
  const { code } = await check.exited;
  const { counts, examples, faults, troubles, violations } = JSON.parse(check.stdout) as {
    readonly counts: { readonly ok: number; readonly deliveries: number };
    readonly examples: readonly unknown[];
    readonly faults: readonly unknown[];
    readonly troubles: readonly string[];
    readonly violations: Readonly<Record<string, number>>;
  };
  expect({ violations, troubles, examples }).toEqual({ violations: ZEROS, troubles: [], examples: [] });
  expect(code).toBe(0);
  expect(faults.length).toBeGreaterThanOrEqual(2);
  expect(counts.ok).toBeGreaterThan(500);
  expect(counts.deliveries).toBeGreaterThan(counts.ok);
}, 600_000);

test('a fault that empties Redis is refused, with the reason', async () => {
  const { file } = cluster.cluster.stateFile;
  const check = HalleyProcess.spawn(['check', '--against', file, '--faults', 'redis-flush']);
  expect((await check.exited).code).toBe(1);
  expect(check.output).toContain('redis-flush: the bus of this cluster is in Redis');
});
