import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { nodeConfig } from '@halley/service/node-config';
import { opsConfig } from '@halley/service/ops-config';
import { z } from 'zod';

import { announceJoined } from './announce.js';
import {
  type ClusterProcess,
  type ClusterService,
  type ClusterState,
  ClusterStateFile,
} from './state-file.js';

const service = (address: string, pid: number): ClusterService => ({
  address,
  pid,
  start: { file: 'f', args: [], cwd: '.', env: {} },
});

const EMPTY: ClusterState = {
  pid: 1,
  processes: [],
  bus: 'kafka',
  services: {
    kafka: service('127.0.0.1:1', 1),
    zookeeper: service('127.0.0.1:2', 2),
    redis: service('127.0.0.1:3', 3),
    mariadb: service('127.0.0.1:4', 4),
  },
  arguments: { comet: ['--registry.servers', '127.0.0.1:2'], logic: [], job: [] },
};

const port = (fallback: number) => z.int().default(fallback).meta({ description: 'Port.' });
const cometSchema = z.object({
  node: nodeConfig,
  tcp: z.object({ port: port(3101) }),
  wss: z.object({ port: port(3103) }),
  ops: opsConfig(3104),
});

function comet(pid: number): ClusterProcess {
  return { name: `comet-${pid}`, tier: 'comet', pid, ports: { tcp: 3101 }, state: 'starting' };
}

let folder = '';
let path = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'state-'));
  path = join(folder, 'deeper', 'cluster.json');
});
afterEach(() => rm(folder, { recursive: true }));

test('changes of several writers at once are all kept, and no draft or lock is left', async () => {
  const writers = [new ClusterStateFile(path), new ClusterStateFile(path), new ClusterStateFile(path)];
  await writers[0]?.write(EMPTY);
  const add = async (pid: number): Promise<void> => {
    const list = ({ processes }: ClusterState) => [...processes, comet(pid)];
    await writers[pid % 3]?.update((state) => ({ ...state, processes: list(state) }));
  };
  await Promise.all(Array.from({ length: 30 }, (_, pid) => add(pid)));
  const state = JSON.parse(await readFile(path, 'utf8')) as ClusterState;
  expect(new Set(state.processes.map(({ pid }) => pid)).size).toBe(30);
  expect(await readdir(join(folder, 'deeper'))).toEqual(['cluster.json']);
});

test('what has exited stays so', async () => {
  const file = new ClusterStateFile(path);
  await file.write({ ...EMPTY, processes: [comet(1), comet(2)] });
  await file.setState(1, 'exited');
  await file.setState(1, 'ready');
  await file.setState(2, 'ready');
  expect((await file.read())?.processes.map(({ state }) => state)).toEqual(['exited', 'ready']);
});

test('without a file there is nothing to change', async () => {
  const file = new ClusterStateFile(path);
  await file.update(() => EMPTY);
  expect(await file.read()).toBeUndefined();
});

test('the lock of a process that was killed is removed', async () => {
  const file = new ClusterStateFile(path);
  await file.write(EMPTY);
  await writeFile(`${path}.lock`, '');
  const longAgo = new Date(Date.now() - 60_000);
  await utimes(`${path}.lock`, longAgo, longAgo);
  await file.setState(1, 'ready');
  expect(await readdir(join(folder, 'deeper'))).toEqual(['cluster.json']);
});

test('a node that joins is listed with its name, pid and ports', async () => {
  const file = new ClusterStateFile(path);
  await file.write({ ...EMPTY, processes: [comet(1), comet(2)] });
  await announceJoined(path, 'comet', ['--port-offset', '200'], cometSchema);
  const joined = (await file.read())?.processes.at(-1);
  expect(joined).toEqual({
    name: 'comet-3',
    tier: 'comet',
    pid: process.pid,
    ports: { tcp: 3301, ops: 3304 },
    state: 'starting',
  });
});

test('a node that only prints its help, or is configured wrongly, does not join', async () => {
  const file = new ClusterStateFile(path);
  await file.write(EMPTY);
  await announceJoined(path, 'comet', ['--help'], cometSchema);
  await announceJoined(path, 'comet', ['--nonsense', '1'], cometSchema);
  expect((await file.read())?.processes).toEqual([]);
});
