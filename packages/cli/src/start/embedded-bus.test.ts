import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { silentLogger } from '@halley/service/log';
import type { EmbeddedBus } from '@halley/store/bus/embedded';
import { afterEach, beforeEach, expect, test } from '@jest/globals';

import { embeddedBus } from './embedded-bus.js';
import { loadStartConfig } from './start-config.js';
import { tierSchemas } from './tier-schemas.js';

const HOUR_MS = 3_600_000;

let dataDir = '';
let bus: EmbeddedBus | undefined;
let nowMs = 0;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'halley-bus-'));
  nowMs = Date.now();
});
afterEach(async () => {
  await bus?.stop(1_000);
  bus = undefined;
  await rm(dataDir, { recursive: true });
});

/** What `halley start` with these flags keeps records in. */
async function started(...flags: string[]): Promise<EmbeddedBus> {
  const { tiers } = loadStartConfig(tierSchemas, { env: {}, flags: ['--bus.partitions', '1', ...flags] });
  const clock = { now: () => nowMs, monotonicMs: () => performance.now() };
  bus = embeddedBus(tiers.logic.bus, { dataDir, log: silentLogger(), clock, trimIntervalMs: 5 });
  await bus.start();
  return bus;
}

const write = (to: EmbeddedBus, count: number) =>
  to.produce(
    't',
    Array.from({ length: count }, () => ({ key: 'k', value: Buffer.alloc(1_000) })),
  );

/** How many records a new group can still read, at last: waits until there are so few. */
async function kept(from: EmbeddedBus, few: number): Promise<number> {
  const untilMs = performance.now() + 5_000;
  for (;;) {
    const lag = await from.lag('new', 't');
    if (lag <= few || performance.now() > untilMs) return lag;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('bus.maxRecords bounds what is kept of a topic', async () => {
  const small = await started('--bus.maxRecords', '3');
  await write(small, 10);
  expect(await kept(small, 3)).toBe(3);
});

test('bus.retentionMs says how old a record becomes', async () => {
  const short = await started('--bus.retentionMs', String(HOUR_MS));
  await write(short, 4);
  nowMs += HOUR_MS - 1_000;
  await write(short, 2);
  nowMs += 2_000;
  expect(await kept(short, 2)).toBe(2);
});

test('bus.committedRetentionMs says how long a record stays that every group has committed', async () => {
  const short = await started('--bus.committedRetentionMs', '1000');
  await write(short, 4);
  const consumer = await short.consume({ group: 'job', topics: ['t'], onBatch: async () => undefined });
  await consumer.commit('t', 0, 4);
  nowMs += 2_000;
  expect(await kept(short, 0)).toBe(0);
});

test('bus.maxQueuedBytes bounds what waits', async () => {
  const small = await started('--bus.maxQueuedBytes', '5000');
  await expect(write(small, 10)).rejects.toMatchObject({ code: 'overloaded' });
});
