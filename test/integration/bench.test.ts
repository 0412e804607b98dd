import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { BenchResult } from '@halley/bench/scenario/result';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';

/** `halley bench` against a started Halley: what is counted, never how fast it was. */
const HALLEY = fileURLToPath(new URL('../../packages/cli/bin/halley.js', import.meta.url));
const PUSHED_FOR = ['--duration', '1', '--warmup', '1', '--settle', '10'];

let halley: StartedHalley;
let dir: string;

beforeAll(async () => {
  [halley, dir] = await Promise.all([startHalley(), mkdtemp(path.join(os.tmpdir(), 'halley-bench-'))]);
});

afterAll(async () => {
  await halley?.stop();
  await rm(dir, { recursive: true, force: true });
});

interface Ended {
  readonly code: number;
  readonly out: string;
}

function bench(scenario: string, ...args: readonly string[]): Promise<Ended> {
  const { tcp, ws, logicHttp, logicGrpc, cometGrpc } = halley.target;
  const addresses = {
    '--tcp': tcp,
    '--ws': new URL(ws).host,
    '--http': new URL(logicHttp).host,
    '--grpc': logicGrpc,
    '--comet-grpc': cometGrpc,
  };
  const at = Object.entries(addresses).flat();
  const { NODE_OPTIONS: _, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [HALLEY, 'bench', scenario, ...at, ...args],
      { env, cwd: dir },
      (error, out, err) => resolve({ code: error ? Number(error.code ?? 1) : 0, out: out + err }),
    );
  });
}

async function resultOf(file: string): Promise<BenchResult> {
  return JSON.parse(await readFile(path.join(dir, file), 'utf8')) as BenchResult;
}

test('a room: every push comes to every member, and the report is written', async () => {
  const args = ['-n', '40', '--rooms', '2', '--rate', '20', '--transport', 'both', ...PUSHED_FOR];
  const { code, out } = await bench('room', ...args, '--json', 'room.json', '--html', 'room.html');
  expect(out).toContain('passed: nothing lost, nothing out of order, nothing refused');
  expect(code).toBe(0);
  const { traffic, connects, tiers, faults } = await resultOf('room.json');
  expect(connects[0]?.connected).toBe(40);
  expect(traffic).toMatchObject({ due: 40, ok: 40, expected: 800, delivered: 800, lost: 0, outOfOrder: 0 });
  expect(traffic?.latency.count).toBeGreaterThan(0);
  expect(tiers.map(({ tier }) => tier)).toEqual(['comet+logic+job']);
  expect(faults).toEqual([]);
  expect(await readFile(path.join(dir, 'room.html'), 'utf8')).toContain('halley bench room: passed');
});

test("users by goim's HTTP: every push comes to its user, and to nobody else", async () => {
  const args = ['-n', '40', '--rate', '100', '--via', 'goim', ...PUSHED_FOR];
  const { code } = await bench('users', ...args, '--json', 'users.json');
  expect(code).toBe(0);
  const { traffic } = await resultOf('users.json');
  expect(traffic).toMatchObject({ due: 200, ok: 200, expected: 200, delivered: 200, lost: 0, strays: 0 });
});
