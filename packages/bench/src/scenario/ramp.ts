import { setTimeout as sleep } from 'node:timers/promises';

import { roomIdOf } from '../load/identity.js';
import type { LoadSide } from '../load/load-side.js';
import { roomSender } from '../load/stamp.js';
import { descriptorLimit } from '../measure/process-stat.js';
import type { Bench } from './bench.js';
import type { BenchSample, RampStep } from './result.js';
import type { Streams } from './streams.js';
import { runTraffic } from './traffic.js';

/** What a process has open besides its connections. */
const OTHER_DESCRIPTORS = 500;
const FIRST = 1_000;
/** Deliveries a second are the same at each step, so that only the number of connections changes. */
const LEAST_PUSHES_PER_SECOND = 0.5;

export interface RampOutcome {
  readonly steps: readonly RampStep[];
  readonly samples: readonly BenchSample[];
}

/** 1,000, 2,000, 4,000 … connections in one room, up to the descriptor limit; the same deliveries a second at each. */
export async function runRamp(bench: Bench): Promise<RampOutcome> {
  const { perSecond, settleMs, warmupMs, durationMs } = bench.options;
  const steps: RampStep[] = [];
  const samples: BenchSample[] = [];
  const sides: LoadSide[] = [];
  let open = 0;
  for (const connections of rampSteps(await mostConnections(bench))) {
    if (bench.deps.signal.aborted) break;
    bench.say(`${connections} connections`);
    const side = await bench.load(connections - open, open);
    const connect = await bench.connectAll(side);
    sides.push(side);
    open = connections;
    await sleep(settleMs);
    const pushesPerSecond = Math.max(LEAST_PUSHES_PER_SECOND, perSecond / connections);
    const {
      traffic,
      tiers,
      load,
      samples: taken,
    } = await runTraffic(bench, {
      sides,
      streams: oneRoom(bench, connections),
      perSecond: pushesPerSecond,
      warmupMs,
      durationMs,
    });
    steps.push({ connections, connectPerSecond: connect.perSecond, traffic, tiers, load });
    const shiftMs = samples.at(-1)?.atMs ?? 0;
    samples.push(...taken.map((sample) => ({ ...sample, connections, atMs: shiftMs + sample.atMs })));
  }
  return { steps, samples };
}

/** Doubling from 1,000, the most last. */
export function rampSteps(most: number): number[] {
  const steps: number[] = [];
  for (let connections = FIRST; connections < most; connections *= 2) steps.push(connections);
  return [...steps, most];
}

async function mostConnections({ options, meter }: Bench): Promise<number> {
  if (options.connections > 0) return options.connections;
  const comets = meter.processes.filter(({ tier }) => tier.includes('comet'));
  const limits = await Promise.all([
    descriptorLimit('self').then((limit) => (limit ?? 1_024) * options.processes),
    ...comets.map(({ pid }) => descriptorLimit(pid)),
  ]);
  const known = limits.flatMap((limit) => limit ?? []);
  return Math.max(FIRST, Math.min(...known) - OTHER_DESCRIPTORS);
}

/** Whatever they are to the load sides, all are in the room of index 0. */
function oneRoom({ identity }: Bench, members: number): Streams {
  const stream = {
    sender: roomSender(0),
    target: { kind: 'room', room: roomIdOf(identity, 0) } as const,
    members,
  };
  return { all: [stream], streamOf: () => 0 };
}
