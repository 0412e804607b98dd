import { availableParallelism } from 'node:os';

import { Bench, type BenchDeps } from './bench.js';
import { runConnect } from './connect.js';
import { runIdle } from './idle.js';
import type { BenchOptions } from './options.js';
import { runRamp } from './ramp.js';
import type { BenchResult, ConnectResult } from './result.js';
import { mixedStreams, roomStreams, type Streams, userStreams } from './streams.js';
import { runTraffic } from './traffic.js';
import { checkPushWay } from './unreached.js';
import { connectFaults, latenessWarnings, loadWarnings, trafficFaults } from './verdict.js';

type Measured = Pick<BenchResult, 'connects' | 'tiers' | 'load'> &
  Partial<Pick<BenchResult, 'traffic' | 'steps' | 'samples'>>;

/** Runs one scenario. Throws `invalid_argument` for what the target has not, `unavailable` where connections cannot be made. */
export async function runBench(options: BenchOptions, deps: BenchDeps): Promise<BenchResult> {
  const bench = new Bench(options, deps);
  const startedAt = new Date().toISOString();
  try {
    const measured = await measure(bench);
    const { connects, traffic, steps = [], load } = measured;
    const loads = steps.length > 0 ? steps : [{ load }];
    const traffics = traffic ? [traffic] : steps.map((step) => step.traffic);
    const cores = availableParallelism();
    return {
      scenario: options.scenario,
      target: options.target.name,
      startedAt,
      settings: settingsOf(options),
      samples: [],
      ...measured,
      faults: [
        ...connectFaults(connects),
        ...new Set(traffics.flatMap((one) => trafficFaults(one, options))),
      ],
      warnings: [
        ...new Set([
          ...loads.flatMap((one) => loadWarnings(one.load, { processes: options.processes, cores })),
          ...traffics.flatMap(latenessWarnings),
          ...(options.target.processes.length === 0
            ? [
                'processor and memory of the server were not measured: nothing on this machine listens there; name it with --pid',
              ]
            : []),
        ]),
      ],
    };
  } finally {
    await bench.stop();
  }
}

async function measure(bench: Bench): Promise<Measured> {
  const { scenario } = bench.options;
  switch (scenario) {
    case 'connect':
      return runConnect(bench);
    case 'idle':
      return runIdle(bench);
    case 'ramp': {
      await checkPushWay(bench.options);
      const { steps, samples } = await runRamp(bench);
      const last = steps.at(-1);
      return {
        connects: [],
        steps,
        samples,
        tiers: last?.tiers ?? [],
        load: last?.load ?? { kind: 'node', readersPercent: 0, pusherPercent: 0 },
      };
    }
    case 'room':
    case 'users':
    case 'mixed':
    case 'soak':
      return push(bench);
  }
}

/** Connects, then pushes. */
async function push(bench: Bench): Promise<Measured> {
  const { connections, perSecond, warmupMs, durationMs } = bench.options;
  await checkPushWay(bench.options);
  const side = await bench.load(connections);
  bench.say(`${connections} connections`);
  const connect: ConnectResult = await bench.connectAll(side);
  bench.say(
    `connected in ${(connect.elapsedMs / 1_000).toFixed(1)} s; ${perSecond > 0 ? `${perSecond} pushes a second` : 'pushing as fast as it is answered'}`,
  );
  const outcome = await runTraffic(bench, {
    sides: [side],
    streams: streamsOf(bench),
    perSecond,
    warmupMs,
    durationMs,
  });
  return { connects: [connect], ...outcome };
}

function streamsOf({ identity, options }: Bench): Streams {
  const { scenario, connections, roomPercent } = options;
  if (scenario === 'room') return roomStreams(identity, connections);
  if (scenario === 'users') return userStreams(identity, connections);
  return mixedStreams(identity, connections, roomPercent);
}

function settingsOf(options: BenchOptions): Record<string, string> {
  const { connections, rooms, transport, version, via, batch, perSecond, durationMs, bodyBytes } = options;
  const { callers, inFlight, scenario } = options;
  const pushes = scenario !== 'connect' && scenario !== 'idle';
  return {
    connections: connections > 0 ? String(connections) : 'to the descriptor limit',
    ...(rooms > 0 ? { rooms: String(rooms) } : {}),
    transport,
    version: String(version),
    ...(pushes
      ? {
          via: batch > 1 ? `${via}, ${batch} at most in a call` : via,
          [scenario === 'ramp' ? 'deliveries/s' : 'pushes/s']:
            perSecond > 0 ? String(perSecond) : 'as fast as it is answered',
          callers: inFlight > 1 ? `${callers}, ${inFlight} calls each` : String(callers),
          body: `${bodyBytes} bytes`,
        }
      : {}),
    ...(durationMs > 0 ? { duration: `${durationMs / 1_000} s` } : {}),
  };
}
