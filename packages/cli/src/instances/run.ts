import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { systemClock } from '@halley/service/clock';
import { loadConfig } from '@halley/service/config';
import { splitArguments } from '@halley/service/command-line';
import { isReady } from '@halley/service/is-ready';
import { createLogger, type LogOptions } from '@halley/service/log';
import { hostPort, isWildcard, type NodeConfig } from '@halley/service/node-config';
import { runService } from '@halley/service/run';
import type { z } from 'zod';

import { print } from '../terminal.js';
import { Instance, type RunningProcess } from './instance.js';
import { Instances } from './instances.js';
import { type InstancePlan, planInstances } from './plan.js';

const HALLEY = fileURLToPath(new URL('../../bin/halley.js', import.meta.url));

/** What is told of each that is ready, in this order. */
const TOLD = { tcp: 'TCP', ws: 'WebSocket', wss: 'WSS', tls: 'TLS', http: 'HTTP', grpc: 'gRPC', ops: 'ops' };

export interface InstancesRun {
  readonly tier: string;
  readonly count: number;
  /** As the user gave them, without `--instances`. */
  readonly argv: readonly string[];
  /** The same with what `--join` stands for. */
  readonly joinedArgv: readonly string[];
  readonly schema: z.ZodObject;
}

/** `halley TIER --instances N`: N processes on ports of their own, until a signal stops them all. Throws `bad_config`. */
export async function runInstances({ tier, count, argv, joinedArgv, schema }: InstancesRun): Promise<void> {
  const { file, flags } = splitArguments(joinedArgv);
  const config = loadConfig(schema, {
    file: file ?? (process.env['HALLEY_CONFIG'] || undefined),
    env: process.env,
    flags,
  }) as unknown as { readonly node: NodeConfig; readonly log: LogOptions };
  const plans = planInstances(tier, config, argv, count);
  const log = createLogger({ ...config.log, base: { tier } });
  const instances = plans.map(
    (plan) =>
      new Instance({
        name: plan.name,
        launch: () => launch(tier, plan),
        ready: () => isReady(plan.ports['ops'] ?? 0, reachableHost(config.node.bind)),
        onReady: (pid) => print(readyLine(plan, config.node.bind, pid)),
        clock: systemClock,
        log,
      }),
  );
  await runService(new Instances(instances), {
    log,
    ports: plans.flatMap(({ claims }) => claims),
    onStarted: () =>
      print(`${count} ${tier} ${count === 1 ? 'process serves' : 'processes serve'}. SIGTERM drains all.`),
  });
}

/** Ends this process, in order, when the one that runs the instances is gone: nobody would tell it to. */
export function endWithParent(): void {
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
}

/** As `comet-2 is ready: TCP 0.0.0.0:3201, …, ops 0.0.0.0:3204 (pid 4711)`. */
export function readyLine({ name, ports }: InstancePlan, host: string, pid: number): string {
  const where = Object.entries(TOLD).flatMap(([kind, label]) => {
    const port = ports[kind];
    return port === undefined ? [] : [`${label} ${hostPort(host, port)}`];
  });
  return `${name} is ready: ${where.join(', ')} (pid ${pid})`;
}

function launch(tier: string, plan: InstancePlan): RunningProcess {
  // The channel carries nothing: it breaks when this process is gone. Logs are written by each itself.
  const child = spawn(process.execPath, [...process.execArgv, HALLEY, tier, ...plan.arguments], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return {
    pid: child.pid ?? 0,
    ended: new Promise((resolve) => {
      child.once('error', () => resolve({ code: 1, signal: null }));
      child.once('exit', (code, signal) => resolve({ code, signal }));
    }),
    kill: (signal) => void child.kill(signal),
  };
}

function reachableHost(bind: string): string {
  return isWildcard(bind) ? '127.0.0.1' : bind;
}
