import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import type { ClusterProcess, ClusterState } from '@halley/cli/cluster/state-file';
import { isAlive } from '@halley/services/cache';
import { afterAll, beforeAll, expect, test } from '@jest/globals';

import { HalleyProcess } from '../harness/halley-process.js';
import { freePortOffset } from '../harness/ports.js';
import { TcpClient } from '../harness/tcp-client.js';
import { newKey, newMid, newOp, newRoom } from '../harness/unique.js';
import { eventually } from '../harness/within.js';

/** `halley cluster` as a user starts it: the tests follow each other on one cluster, the last one ends it. */
let parent = '';
let dir = '';
let offset = 0;
let cluster: HalleyProcess;

beforeAll(async () => {
  parent = await mkdtemp(path.join(os.tmpdir(), 'halley-command-'));
  dir = path.join(parent, '.halley');
  offset = await freePortOffset();
  cluster = await HalleyProcess.start(['cluster', '--dir', dir, '--port-offset', String(offset)], {
    ready: /The cluster is ready/,
    readyTimeoutMs: 240_000,
  });
}, 250_000);

afterAll(async () => {
  await cluster?.stop();
  await rm(parent, { recursive: true, force: true });
}, 20_000);

async function state(): Promise<ClusterState> {
  return JSON.parse(await readFile(path.join(dir, 'cluster.json'), 'utf8')) as ClusterState;
}

async function named(name: string): Promise<ClusterProcess | undefined> {
  return (await state()).processes.find((one) => one.name === name);
}

/** A zombie has ended; only its new parent has not taken notice. */
async function isRunning(pid: number): Promise<boolean> {
  if (!isAlive(pid)) return false;
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/\) Z /.test(stat) && stat !== '';
}

test('cluster.json lists two of each tier, ready, with the pid and ports of each, and the services', async () => {
  const { processes, services } = await state();
  expect(processes.map(({ name }) => name).sort()).toEqual([
    'comet-1',
    'comet-2',
    'job-1',
    'job-2',
    'logic-1',
    'logic-2',
  ]);
  for (const one of processes) {
    expect(one.state).toBe('ready');
    expect(one.name).toBe(`${one.tier}-${one.name.at(-1)}`);
    const command = await readFile(`/proc/${one.pid}/cmdline`, 'utf8');
    expect(command.split('\0')).toContain(one.tier);
    const answer = await fetch(`http://127.0.0.1:${one.ports['ops']}/healthz`);
    expect(answer.status).toBe(200);
  }
  expect((await named('comet-1'))?.ports['tcp']).toBe(3101 + offset);
  expect((await named('comet-2'))?.ports['tcp']).toBe(3201 + offset);
  for (const service of Object.values(services)) {
    expect(service.address).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(isAlive(service.pid)).toBe(true);
  }
});

test.each([
  ['comet-1', 'logic-2'],
  ['comet-2', 'logic-1'],
])('who is connected to %s gets what is pushed through %s', async (comet, logic) => {
  const client = await TcpClient.connect(`127.0.0.1:${(await named(comet))?.ports['tcp']}`);
  const [mid, op] = [newMid(), newOp()];
  await client.auth({ mid, key: newKey(), room_id: '', platform: 'test', accepts: [op] });
  const url = `http://127.0.0.1:${(await named(logic))?.ports['http']}/goim/push/mids?operation=${op}&mids=${mid}`;
  const answer = await fetch(url, { method: 'POST', body: 'across' });
  expect(await answer.json()).toMatchObject({ code: 0 });
  const frame = await client.next();
  expect(Buffer.from(frame.body).toString()).toBe('across');
  client.close();
});

test('a second start in the same folder ends at once and names the first', async () => {
  const second = HalleyProcess.spawn(['cluster', '--dir', dir, '--port-offset', String(offset + 1_000)]);
  expect(await second.exited).toMatchObject({ code: 1 });
  expect(second.output).toMatch(
    new RegExp(`^halley: a cluster runs in .* already: pid ${cluster.pid} .*; stop it, or .*\\n$`),
  );
});

test('a start on the same ports in another folder ends at once and names the holder', async () => {
  const other = path.join(parent, 'other');
  const second = HalleyProcess.spawn(['cluster', '--dir', other, '--port-offset', String(offset)]);
  expect(await second.exited).toMatchObject({ code: 1 });
  const holder = (await named('comet-1'))?.pid;
  expect(second.output).toMatch(
    new RegExp(`^halley: comet-1 tcp port 127.0.0.1:\\d+ is taken by pid ${holder} .*\\n$`),
  );
  expect((await state()).processes.every((one) => one.state === 'ready')).toBe(true);
});

test('a node that joins is listed, and exited once it has left', async () => {
  const file = path.join(dir, 'cluster.json');
  const third = HalleyProcess.spawn(['comet', '--join', file, '--port-offset', String(offset + 200)]);
  const joined = await eventually(
    () => named('comet-3'),
    (one) => one?.state === 'ready',
  );
  expect(joined).toMatchObject({ pid: third.pid, state: 'ready', ports: { tcp: 3301 + offset } });
  expect(await third.stop()).toMatchObject({ code: 0 });
  const left = await eventually(
    () => named('comet-3'),
    (one) => one?.state === 'exited',
  );
  expect(left?.state).toBe('exited');
});

test('two comets of one command share a room; the one that is killed comes back under its name; SIGTERM ends both', async () => {
  const file = path.join(dir, 'cluster.json');
  const host = await HalleyProcess.start(
    [
      'comet',
      '--join',
      file,
      '--port-offset',
      String(offset + 200),
      '--instances',
      '2',
      '--drain.spreadMs',
      '100',
    ],
    { ready: /2 comet processes serve/ },
  );
  const pidsOf = (name: string): number[] =>
    [...host.stdout.matchAll(new RegExp(`^${name} is ready: .*\\(pid (\\d+)\\)$`, 'gm'))].map(([, pid]) =>
      Number(pid),
    );
  const [op, room] = [newOp(), newRoom()];
  const join = async (port: number): Promise<TcpClient> => {
    const client = await TcpClient.connect(`127.0.0.1:${port + offset}`);
    await client.auth({ mid: newMid(), key: newKey(), room_id: room.id, platform: 'test', accepts: [op] });
    return client;
  };
  const logic = (await named('logic-1'))?.ports['http'];
  const push = async (text: string, clients: readonly TcpClient[]): Promise<void> => {
    const url = `http://127.0.0.1:${logic}/goim/push/room?operation=${op}&type=${room.type}&room=${room.room}`;
    expect(await (await fetch(url, { method: 'POST', body: text })).json()).toMatchObject({ code: 0 });
    for (const client of clients) expect(Buffer.from((await client.next()).body).toString()).toBe(text);
  };
  const nodes = async (): Promise<string[]> => {
    const answer = await fetch(`http://127.0.0.1:${logic}/v1/nodes?tier=comet`);
    const { nodes: found } = (await answer.json()) as { nodes: { id: string }[] };
    return found.map(({ id }) => id).sort();
  };

  const [first, second] = [await join(3301), await join(3401)];
  await push('to both', [first, second]);
  const before = await nodes();
  expect(before).toHaveLength(4);

  const [killed = 0] = pidsOf('comet-2');
  process.kill(killed, 'SIGKILL');
  expect((await second.end()).code).toBeUndefined();
  await eventually(
    () => pidsOf('comet-2').length,
    (count) => count === 2,
  );
  const again = await join(3401);
  await push('to both again', [first, again]);
  expect(await nodes()).toEqual(before);
  expect(pidsOf('comet-1')).toHaveLength(1);
  expect(host.output).toContain('"instance":"comet-2"');

  const pids = [...pidsOf('comet-1'), ...pidsOf('comet-2')];
  expect(pids).toHaveLength(3);
  expect(await host.stop()).toEqual({ code: 0, signal: null });
  for (const pid of pids) expect(await isRunning(pid)).toBe(false);
}, 60_000);

test('a process that is killed is told as exited and not restarted', async () => {
  const pid = (await named('job-2'))?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  const ended = await eventually(
    () => named('job-2'),
    (one) => one?.state === 'exited',
  );
  expect(ended).toMatchObject({ pid, state: 'exited' });
  expect(cluster.output).toContain('job-2 ended with signal SIGKILL; it is not restarted');
  expect(isAlive(cluster.pid)).toBe(true);
});

test('SIGINT ends all of it within ten seconds, in order, and nothing is left', async () => {
  const { processes, services } = await state();
  const pids = [...processes, ...Object.values(services)].map(({ pid }) => pid);
  const started = performance.now();
  cluster.signal('SIGINT');
  expect(await cluster.exited).toEqual({ code: 0, signal: null });
  expect(performance.now() - started).toBeLessThan(10_000);
  for (const pid of pids) expect(await isRunning(pid)).toBe(false);
  await expect(state()).rejects.toThrow('ENOENT');
  // Each was told to stop while the services were there: an orderly end, not the watchdog's.
  const log = await readFile(path.join(dir, 'logs', 'logic-1.log'), 'utf8');
  expect(log).toContain('stopping');
});
