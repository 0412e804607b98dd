import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@halley/service/log';
import { openEmbeddedDatabase } from '../embedded-database.js';
import { EmbeddedBus } from './embedded.js';
import { EmbeddedLog } from './embedded-log.js';

const RETENTION = { committedMs: 1_000, maxAgeMs: 60_000, maxRecords: 100 };

let dataDir: string;
let database: Awaited<ReturnType<typeof openEmbeddedDatabase>>;
let storage: EmbeddedLog;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-retention-'));
  database = await openEmbeddedDatabase(dataDir);
  storage = new EmbeddedLog(database, 2);
});

afterEach(async () => {
  await database.release();
  await rm(dataDir, { recursive: true });
});

function records(count: number): { key: string; value: Buffer }[] {
  return Array.from({ length: count }, () => ({ key: 'k', value: Buffer.from('v') }));
}

test('what every group has committed goes after its time', async () => {
  await storage.addGroup('a', 't');
  await storage.addGroup('b', 't');
  await storage.append('t', 0, records(10), 0);
  await storage.commit('a', 't', 0, 8);
  await storage.commit('b', 't', 0, 5);
  expect(await storage.trim(RETENTION, 500)).toBe(0);
  expect(storage.start('t', 0)).toBe(0);
  expect(await storage.trim(RETENTION, 2_000)).toBe(0);
  expect(storage.start('t', 0)).toBe(5);
  await storage.commit('b', 't', 0, 10);
  await storage.trim(RETENTION, 2_000);
  expect(storage.start('t', 0)).toBe(8);
});

test('what nobody commits goes by age and by count, and is told', async () => {
  await storage.append('t', 0, records(80), 0);
  await storage.append('t', 1, records(120), 30_000);
  expect(await storage.trim(RETENTION, 30_000)).toBe(100);
  expect([storage.start('t', 0), storage.start('t', 1)]).toEqual([40, 60]);
  expect(await storage.trim(RETENTION, 61_000)).toBe(40);
  expect([storage.start('t', 0), storage.start('t', 1)]).toEqual([80, 60]);
});

test('offsets go on after everything was removed, also over a restart', async () => {
  await storage.append('t', 0, records(5), 0);
  await storage.trim(RETENTION, 1_000_000);
  expect(storage.read('t', 0, 0, 10, 1_000)).toEqual([]);
  const again = new EmbeddedLog(database, 2);
  expect(again.start('t', 0)).toBe(5);
  expect(await again.append('t', 0, records(1), 0)).toBe(5);
  expect(again.read('t', 0, 0, 10, 1_000).map((record) => record.offset)).toEqual([5]);
});

test('a running bus applies it', async () => {
  let nowMs = 0;
  const clock = { now: () => nowMs, monotonicMs: () => performance.now() };
  const bus = new EmbeddedBus({ dataDir, partitions: 2, clock, log: silentLogger(), trimIntervalMs: 20 });
  await bus.start();
  await bus.produce('t', [{ partition: 0, key: 'k', value: Buffer.from('v') }]);
  expect(await bus.lag('g', 't')).toBe(1);
  nowMs = 8 * 86_400_000;
  for (let round = 0; round < 100 && (await bus.lag('g', 't')) > 0; round += 1) {
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
  expect(await bus.lag('g', 't')).toBe(0);
  await bus.stop(1_000);
});
