import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';

/** The built command: these tests see what a user sees. */
const HALLEY = fileURLToPath(new URL('../../bin/halley.js', import.meta.url));
const FIRST_PORT = 3101;
const LAST_PORT = 3124;

interface Run {
  readonly child: ChildProcess;
  out: string;
  err: string;
  readonly exit: Promise<number | null>;
}

const running: Run[] = [];
let folder = '';

function halley(...args: string[]): Run {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(process.execPath, [HALLEY, ...args], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = once(child, 'close').then(([code]) => code as number | null);
  const run: Run = { child, out: '', err: '', exit };
  child.stdout?.on('data', (chunk: Buffer) => (run.out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (run.err += chunk.toString()));
  running.push(run);
  return run;
}

async function shows(run: Run, pattern: RegExp): Promise<void> {
  const until = Date.now() + 20_000;
  while (!pattern.test(run.out)) {
    if (Date.now() > until || run.child.exitCode !== null)
      throw new Error(`no ${String(pattern)}: ${run.out}${run.err}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** An offset at which no port of a whole start is taken. */
async function freeOffset(): Promise<number> {
  for (;;) {
    const offset = 10_000 + Math.floor(Math.random() * 400) * 100;
    const ports = Array.from(
      { length: LAST_PORT - FIRST_PORT + 1 },
      (_, index) => FIRST_PORT + index + offset,
    );
    const free = await Promise.all(ports.map(isFree));
    if (free.every(Boolean)) return offset;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer().once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'halley-start-'));
});
afterEach(async () => {
  for (const { child, exit } of running.splice(0)) {
    child.kill('SIGKILL');
    await exit;
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('it says where to connect and how to push, and what it says works', async () => {
  const offset = await freeOffset();
  const first = halley('start', '--port-offset', String(offset));
  await shows(first, /Ctrl-C ends it/);
  const command = (name: string): string[] => {
    const line = new RegExp(`npx halley (${name} .*)`).exec(first.out)?.[1] ?? '';
    return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
  };
  const tail = halley(...command('tail'), '--count', '2', '--json');
  await shows(tail, /"event":"connected"/);
  const push = halley(...command('push'));
  expect(await push.exit).toBe(0);
  const [, url = '', body] = /curl -X POST '([^']+)' -d '([^']+)'/.exec(first.out) ?? [];
  const reply = await fetch(url, { method: 'POST', body: body ?? '' });
  expect(await reply.json()).toEqual({ code: 0, message: '' });
  expect(await tail.exit).toBe(0);
  const messages = tail.out
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(messages).toMatchObject([
    { op: 1000, text: 'hello, user' },
    { op: 1000, text: 'hello over HTTP' },
  ]);
  const nodes = halley('nodes', '--json', '--address', `127.0.0.1:${3119 + offset}`);
  expect(await nodes.exit).toBe(0);
  const tiers = (JSON.parse(nodes.out) as { tier: string }[]).map(({ tier }) => tier);
  expect(tiers).toEqual(['comet', 'logic', 'job']);
}, 60_000);

test('without a terminal there are no colours', async () => {
  const help = halley('--help');
  expect(await help.exit).toBe(0);
  expect(help.out).toContain('Usage: halley');
  expect(help.out).not.toContain('\u001b');
});

describe('a start beside another', () => {
  test('is refused within 2 s with one line, and the first goes on and stops with 0', async () => {
    const free = await freeOffset();
    const offset = String(free);
    const first = halley('start', '--port-offset', offset);
    await shows(first, /Ctrl-C ends it/);

    const began = performance.now();
    const samePorts = halley('start', '--port-offset', offset);
    expect(await samePorts.exit).toBe(1);
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(samePorts.err).toMatch(
      /^halley: [^\n]+ is taken by pid \d+ \([^\n]+ start [^\n]+--port-offset \d+\n$/,
    );
    expect(samePorts.err).toContain(`start with --port-offset ${free + 100}\n`);

    const sameData = halley('start', '--port-offset', String(await freeOffset()), '--log.level', 'silent');
    expect(await sameData.exit).toBe(1);
    expect(sameData.err).toMatch(/^halley: data folder [^\n]+ is in use by pid \d+ \([^\n]+--data-dir\n$/);

    expect(first.child.exitCode).toBeNull();
    // npm passes a signal on that the process has got already.
    first.child.kill('SIGINT');
    first.child.kill('SIGINT');
    const stopping = performance.now();
    expect(await first.exit).toBe(0);
    expect(performance.now() - stopping).toBeLessThan(10_000);
  }, 60_000);
});

test('after kill -9 the data folder is taken over', async () => {
  const args = ['start', '--port-offset', String(await freeOffset()), '--data-dir', 'killed'];
  const first = halley(...args);
  await shows(first, /Ctrl-C ends it/);
  first.child.kill('SIGKILL');
  await first.exit;
  const second = halley(...args);
  await shows(second, /Ctrl-C ends it/);
  second.child.kill('SIGTERM');
  expect(await second.exit).toBe(0);
}, 60_000);
