import { count, shortTime } from '../report/figures.js';
import type { BenchOptions } from '../scenario/options.js';
import type { TrafficResult } from '../scenario/result.js';
import { userStreams } from '../scenario/streams.js';
import { runTraffic } from '../scenario/traffic.js';
import { trafficFaults } from '../scenario/verdict.js';
import type { Lab } from './lab.js';
import { type LimitRow, rowOf } from './row.js';

const CONNECTIONS = 1_000;

const MOST = [
  {
    what: 'durable pushes/s to single users by HTTP',
    goim: '8,200 (not durable)',
    limit: 8_000,
    with: { via: 'goim', batch: 1, callers: 64 },
  },
  {
    what: 'durable pushes/s to single users by PushBatch',
    goim: '',
    limit: 40_000,
    with: { via: 'batch', batch: 512, callers: 8 },
  },
] as const;
const RATES = [100, 1_000, 5_000];

/** Durable pushes to single users, all tiers on one core: as fast as they are answered, then at rates. */
export async function userRows(lab: Lab): Promise<LimitRow[]> {
  const most = [];
  for (const { what, goim, limit, with: options } of MOST) {
    const rounds = await measured(lab, { ...options, inFlight: 1 }, 0, what);
    most.push(
      rowOf({
        what,
        goim,
        bound: 'least',
        limit,
        rounds: rounds.map((round) => round.deliveredPerSecond),
        text: count,
        note: 'all tiers on one core; counted where they arrive',
        faults: rounds.flatMap((round) => trafficFaults(round, { inFlight: 1 })),
      }),
    );
  }
  const latencies: LimitRow[] = [];
  for (const rate of RATES) {
    const what = `one durable push at ${count(rate)}/s, end to end`;
    const rounds = await measured(lab, { via: 'batch', batch: 256, callers: 16, inFlight: 1 }, rate, what);
    const faults = rounds.flatMap((round) => trafficFaults(round, { inFlight: 1 }));
    const common = { bound: 'most', text: shortTime, faults } as const;
    latencies.push(
      rowOf({
        what: `${what}, p50`,
        goim: rate === 100 ? '1.0 ms (not durable)' : '',
        limit: 2,
        rounds: rounds.map(({ latency }) => latency.p50Ms),
        ...common,
      }),
      rowOf({
        what: `${what}, p99`,
        goim: rate === 100 ? '6.9 ms' : '',
        limit: 20,
        rounds: rounds.map(({ latency }) => latency.p99Ms),
        ...common,
      }),
    );
  }
  return [...most, ...latencies];
}

async function measured(
  lab: Lab,
  options: Pick<BenchOptions, 'via' | 'batch' | 'callers' | 'inFlight'>,
  perSecond: number,
  what: string,
): Promise<TrafficResult[]> {
  const { rounds, warmupMs, durationMs } = lab.deps.scale;
  return lab.withComet('tiers', async (comet) => {
    const bench = lab.bench(comet, { scenario: 'users', connections: CONNECTIONS, rooms: 0, ...options });
    try {
      const side = await bench.load(CONNECTIONS);
      await bench.connectAll(side);
      const found: TrafficResult[] = [];
      for (let round = 0; round < rounds; round += 1) {
        bench.say(`${what}, round ${round + 1} of ${rounds}`);
        const { traffic, load } = await runTraffic(bench, {
          sides: [side],
          streams: userStreams(bench.identity, CONNECTIONS),
          perSecond,
          warmupMs: round === 0 ? warmupMs : 500,
          durationMs,
        });
        lab.watch(what, load);
        found.push(traffic);
      }
      return found;
    } finally {
      await bench.stop();
    }
  });
}
