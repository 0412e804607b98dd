import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

import { HalleyError } from '@halley/protocol/error';
import { isReady } from '@halley/service/is-ready';

import type { ClusterFile } from '../faults/cluster-file.js';
import type { BenchTarget } from '../scenario/target.js';
import { clusterTarget } from '../scenario/target.js';

const PORTS = { tcp: 3101, ws: 3102, ops: 3104, grpc: 3109 };
/** Of the machine: what a cluster's own nodes use lies below. */
const OFFSETS = { first: 6_000, last: 11_000, step: 100 };
const READY_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 12_000;

/** A comet that joins the cluster for one measurement: fresh, and alone in what it is asked. */
export interface JoinedComet {
  readonly pid: number;
  /** This comet, with the logics, jobs and services of its cluster. */
  readonly target: BenchTarget;
  stop(): Promise<void>;
}

/** Starts one with `command`, which runs `halley`, and waits until it serves. Throws `unavailable`. */
export async function joinComet(file: ClusterFile, command: readonly string[]): Promise<JoinedComet> {
  const offset = await freeOffset();
  const [program = '', ...args] = command;
  const child = spawn(
    program,
    [...args, 'comet', '--join', file.path, '--port-offset', String(offset), '--log.level', 'warn'],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const stop = async (): Promise<void> => stopped(child);
  try {
    await untilReady(PORTS.ops + offset, child);
  } catch (error) {
    await stop();
    throw error;
  }
  const cluster = clusterTarget(file);
  const at = (port: number): string => `127.0.0.1:${port + offset}`;
  const pid = child.pid ?? 0;
  return {
    pid,
    stop,
    target: {
      ...cluster,
      tcp: [`tcp://${at(PORTS.tcp)}`],
      websocket: [`ws://${at(PORTS.ws)}/sub`],
      cometGrpc: [at(PORTS.grpc)],
      // The cluster's other comets have none of the connections.
      processes: [...cluster.processes.filter(({ tier }) => tier !== 'comet'), { tier: 'comet', pid }],
    },
  };
}

async function stopped(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
  await exited;
  clearTimeout(late);
}

async function untilReady(opsPort: number, child: ChildProcess): Promise<void> {
  const untilMs = performance.now() + READY_WITHIN_MS;
  while (performance.now() < untilMs && child.exitCode === null) {
    if (await isReady(opsPort)) return;
    await sleep(50);
  }
  throw new HalleyError('unavailable', 'the comet that was to be measured did not become ready');
}

async function freeOffset(): Promise<number> {
  for (let offset = OFFSETS.first; offset <= OFFSETS.last; offset += OFFSETS.step) {
    const free = await Promise.all(Object.values(PORTS).map((port) => isFree(port + offset)));
    if (free.every(Boolean)) return offset;
  }
  throw new HalleyError('unavailable', 'no ports are free for the comet that is to be measured');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
