import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import { startHalley, type StartedHalley } from '../harness/halley-process.js';
import { TcpClient } from '../harness/tcp-client.js';
import { newMid } from '../harness/unique.js';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CACHE = path.join(
  process.env['HALLEY_CACHE'] ?? path.join(os.homedir(), '.cache/halley'),
  'client-examples',
);

/** Runs a command and answers what it printed; a failure shows what it wrote to standard error. */
async function output(command: string, args: readonly string[], cwd: string, env = {}): Promise<string> {
  const { stdout } = await run(command, args, { cwd, env: { ...process.env, ...env }, timeout: 300_000 });
  return stdout;
}

/** A client of docs/examples, made ready in a copy of its folder. */
interface Example {
  readonly name: string;
  readonly prepare: (dir: string) => Promise<void>;
  readonly command: (dir: string) => readonly [string, ...string[]];
}

const EXAMPLES: readonly Example[] = [
  {
    name: 'go',
    prepare: async (dir) => {
      await output('./generate.sh', [], dir, {
        TOOLS: path.join(CACHE, 'go'),
        PROTOS: path.join(ROOT, 'protos'),
      });
      await output('go', ['build', '-o', 'client', '.'], dir);
    },
    command: (dir) => [path.join(dir, 'client')],
  },
  {
    name: 'python',
    prepare: async (dir) => {
      await output('./generate.sh', [], dir, {
        VENV: path.join(CACHE, 'python'),
        PROTOS: path.join(ROOT, 'protos'),
      });
    },
    command: (dir) => [path.join(CACHE, 'python/bin/python'), path.join(dir, 'client.py')],
  },
];

describe.each(EXAMPLES)('the client in $name, generated from the protos', ({ name, prepare, command }) => {
  let halley: StartedHalley;
  let dir: string;
  beforeAll(async () => {
    await mkdir(CACHE, { recursive: true });
    halley = await startHalley();
    dir = await mkdtemp(path.join(os.tmpdir(), `halley-${name}-`));
    await cp(path.join(ROOT, 'docs/examples', name), dir, { recursive: true });
    await prepare(dir);
  }, 300_000);
  afterAll(async () => {
    await halley.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const client = (...args: string[]): Promise<string> => {
    const [file, ...first] = command(dir);
    return output(file, [...first, ...args, '--address', halley.target.logicGrpc], dir);
  };

  test('pushes over a stream, in order, to a 64-bit user id', async () => {
    const mid = newMid();
    const device = await TcpClient.connect(halley.target.tcp);
    await device.auth({ mid, accepts: [1000] });
    const args = [
      '--mids',
      String(mid),
      '--operation',
      '1000',
      '--count',
      '50',
      '--address',
      halley.target.logicGrpc,
    ];
    const [file, ...first] = command(dir);
    const printed = await output(file, [...first, 'push', ...args, 'hello'], dir);
    const outcomes = printed
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(0, 2).join(' '));
    expect(outcomes).toEqual(Array.from({ length: 50 }, (_, i) => `${i} OUTCOME_OK`));
    const frames = await device.take(50);
    expect(frames.map((frame) => Buffer.from(frame.body).toString())).toEqual(
      Array.from({ length: 50 }, (_, i) => `hello ${i}`),
    );
    device.close();
  });

  test('pushes with each option, now or later', async () => {
    const mid = newMid();
    const device = await TcpClient.connect(halley.target.tcp);
    await device.auth({ mid, accepts: [1000] });
    const printed = await client('options', '--mids', String(mid));
    const answers = printed
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    const now = ['id', 'class', 'expire', 'collapse', 'retention', 'bulk'];
    const later = ['delay', 'at', 'group'];
    expect(new Set(answers.map(([option]) => option))).toEqual(new Set([...now, ...later]));
    expect(answers.find(([option]) => option === 'id')?.[1]).toBe('order-77');
    for (const [option = '', , atMs] of answers) {
      expect({ option, isLater: Number(atMs) > 0 }).toEqual({ option, isLater: later.includes(option) });
    }
    const frames = await device.take(now.length);
    expect(frames.map((frame) => Buffer.from(frame.body).toString()).toSorted()).toEqual(now.toSorted());
    device.close();
  });

  test('cancels a push that waits, and makes a recurring one', async () => {
    const printed = await client('schedule', '--mids', String(newMid()));
    const [cancelled, recurring] = printed.trim().split('\n');
    expect(cancelled).toMatch(/^[0-9a-f-]{36} SCHEDULE_STATE_CANCELLED$/);
    expect(recurring).toMatch(/^stand-up \d{13}$/);
    expect(Number(recurring?.split(' ')[1])).toBeGreaterThan(Date.now());
  });

  test('receives what a client sends, acknowledges it, and is not sent it again', async () => {
    const mid = newMid();
    const device = await TcpClient.connect(halley.target.tcp);
    await device.auth({ mid, key: `key-${mid}`, room_id: 'live://1000' });
    for (let i = 0; i < 5; i += 1) expect((await device.request(4, `message ${i}`)).op).toBe(4);
    const group = `${name}-${mid}`;
    const received = async (): Promise<unknown[]> => {
      const lines = (await client('receive', '--group', group, '--count', '5')).trim().split('\n');
      return lines.map((line) => JSON.parse(line));
    };
    const expected = (from: number) =>
      Array.from({ length: 5 }, (_, i) => ({
        mid: String(mid),
        key: `key-${mid}`,
        room: 'live://1000',
        op: 4,
        body: `message ${from + i}`,
      }));
    expect(await received()).toEqual(expected(0));
    for (let i = 5; i < 10; i += 1) await device.request(4, `message ${i}`);
    expect(await received()).toEqual(expected(5));
    device.close();
  });
});
