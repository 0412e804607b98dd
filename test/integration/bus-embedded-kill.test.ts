import { expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@halley/service/clock';
import { silentLogger } from '@halley/service/log';
import { until } from '../../packages/store/src/bus/contract.js';
import { EmbeddedBus } from '@halley/store/bus/embedded';

const PARTITIONS = 4;
const ROUNDS = 6;
const WRITER = fileURLToPath(new URL('embedded-writer.mjs', import.meta.url));

/** Lines `partition offset value` that a writer acknowledged before it was killed. */
async function writeAndKill(dataDir: string, round: number): Promise<string[]> {
  const child = spawn(process.execPath, [WRITER, dataDir, String(PARTITIONS), String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'] },
  });
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on('line', (line) => lines.push(line));
  const ended = once(reader, 'close');
  await until(() => lines.length > 50);
  await sleep(round * 37);
  child.kill('SIGKILL');
  await ended;
  return lines;
}

test('a process that is killed while it writes loses nothing that it acknowledged', async () => {
  const dataDir = await mkdtemp(path.join(os.tmpdir(), 'halley-kill-'));
  const acknowledged: string[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) acknowledged.push(...(await writeAndKill(dataDir, round)));

  const bus = new EmbeddedBus({ dataDir, partitions: PARTITIONS, clock: systemClock, log: silentLogger() });
  await bus.start();
  const held: string[] = [];
  await bus.consume({
    group: 'check',
    topics: ['lines'],
    onBatch: async (batch) => {
      for (const { offset, value } of batch.records) {
        held.push(`${batch.partition} ${offset} ${Buffer.from(value).toString()}`);
      }
    },
  });
  const total = await bus.lag('check', 'lines');
  await until(() => held.length >= total);
  await bus.stop(1_000);
  await rm(dataDir, { recursive: true });

  const present = new Set(held);
  expect(acknowledged.length).toBeGreaterThan(ROUNDS * 50);
  expect(acknowledged.filter((line) => !present.has(line))).toEqual([]);
  const values = held.map((line) => line.split(' ')[2]);
  expect(new Set(values).size).toBe(values.length);
}, 60_000);
