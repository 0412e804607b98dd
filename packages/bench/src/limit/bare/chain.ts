import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { HalleyError } from '@halley/protocol/error';

import type { ClusterFile } from '../../faults/cluster-file.js';
import type { BenchTarget } from '../../scenario/target.js';
import type { BareSettings } from './node.js';

/** Something to hold Halley against: the same protocols by the same libraries, and nothing else. */
export interface Bare {
  readonly target: BenchTarget;
  readonly pids: readonly number[];
  /** Ends it, and removes what it had in Kafka and Redis. */
  stop(): Promise<void>;
}

interface BareNode {
  readonly pid: number;
  readonly ports: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

const STOP_WITHIN_MS = 10_000;
let started = 0;

/** A bare comet alone: for logins and memory. */
export async function startBareComet(): Promise<Bare> {
  const comet = await startNode('comet', { kafka: '', redis: '', name: '', comet: '' });
  return { pids: [comet.pid], target: targetOf(comet), stop: () => comet.stop() };
}

/** Comet, logic and job, on the cluster's Kafka and Redis. Throws `unavailable` where it has none of its own. */
export async function startBareChain({ services }: ClusterFile): Promise<Bare> {
  const [kafka, redis] = [services.kafka?.address, services.redis?.address];
  if (kafka === undefined || redis === undefined)
    throw new HalleyError('unavailable', 'the bare chain needs the Kafka and the Redis of the cluster');
  const nodes: BareNode[] = [];
  const stop = async (): Promise<void> => {
    // The job first: what it reads from goes with the logic.
    for (const node of nodes.splice(0).toReversed()) await node.stop();
  };
  const add = async (...start: Parameters<typeof startNode>): Promise<BareNode> => {
    const node = await startNode(...start);
    nodes.push(node);
    return node;
  };
  try {
    started += 1;
    const settings = { kafka, redis, name: `bench-bare-${process.pid}-${started}`, comet: '' };
    const comet = await add('comet', settings);
    const logic = await add('logic', settings);
    const job = await add('job', { ...settings, comet: `127.0.0.1:${comet.ports['grpc']}` });
    return { pids: [comet.pid, logic.pid, job.pid], target: targetOf(comet, logic, job), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function targetOf(comet: BareNode, logic?: BareNode, job?: BareNode): BenchTarget {
  const at = (node: BareNode | undefined, kind: string): string[] =>
    node ? [`127.0.0.1:${node.ports[kind]}`] : [];
  return {
    name: 'the bare chain',
    tcp: at(comet, 'tcp').map((address) => `tcp://${address}`),
    websocket: at(comet, 'ws').map((address) => `ws://${address}/sub`),
    http: at(logic, 'http'),
    grpc: at(logic, 'grpc'),
    cometGrpc: [],
    processes: Object.entries({ comet, logic, job }).flatMap(([tier, node]) =>
      node ? [{ tier, pid: node.pid }] : [],
    ),
  };
}

async function startNode(name: 'comet' | 'logic' | 'job', settings: BareSettings): Promise<BareNode> {
  const program = fileURLToPath(new URL(`./${name}.js`, import.meta.url));
  const child = spawn(process.execPath, [program, JSON.stringify(settings)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const { value, done } = await createInterface(child.stdout)[Symbol.asyncIterator]().next();
  if (done) throw new HalleyError('unavailable', `the bare ${name} did not start`);
  return {
    pid: child.pid ?? 0,
    ports: JSON.parse(value as string) as Record<string, number>,
    stop: async () => {
      child.stdin.end();
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await exited;
      clearTimeout(late);
    },
  };
}
