import { count, shortTime } from '../report/figures.js';
import type { BenchOptions } from '../scenario/options.js';
import type { TrafficResult } from '../scenario/result.js';
import { userStreams } from '../scenario/streams.js';
import type { BenchTarget } from '../scenario/target.js';
import { runTraffic } from '../scenario/traffic.js';
import { trafficFaults } from '../scenario/verdict.js';
import { startBareChain } from './bare/chain.js';
import type { Lab } from './lab.js';
import { type BesidePlan, type LimitRow, median, rowOf, type RowPlan } from './row.js';

const CONNECTIONS = 1_000;
const WARM_PER_SECOND = 300;
/** Of a rate: the ways that pushes take are warm by then. */
const WARM_RATE_MS = 3_000;
const WARM_ROUND_MS = 500;

/**
 * As fast as they are answered. The ratio is of the target and what the prototype of the chain had where it was set: 8,000/s by
 * HTTP, 66,000/s in batches.
 */
const MOST = [
  {
    what: 'durable pushes/s to single users by HTTP',
    goim: '8,200 (not durable)',
    limit: 8_000,
    ratio: 1,
    with: { via: 'goim', batch: 1, callers: 64 },
  },
  {
    what: 'durable pushes/s to single users by PushBatch',
    goim: '',
    limit: 40_000,
    ratio: 40 / 66,
    with: { via: 'batch', batch: 512, callers: 8 },
  },
] as const;
/** The prototype: p50 1.0 ms at 100/s and 1.1 ms at 5,000/s, p99 15 ms. */
const RATES = [
  { rate: 100, p50: 2 / 1, p99: 20 / 15 },
  { rate: 1_000, p50: 2 / 1.1, p99: 20 / 15 },
  { rate: 5_000, p50: 2 / 1.1, p99: 20 / 15 },
] as const;
const PACED = { via: 'batch', batch: 256, callers: 16 } as const;

/** Of Halley and of the bare chain, a round each. */
interface Pair {
  readonly halley: readonly TrafficResult[];
  readonly bare: readonly TrafficResult[];
}
type Pushing = Pick<BenchOptions, 'via' | 'batch' | 'callers'>;

/** Durable pushes to single users, all tiers on one core: as fast as they are answered, then at rates; in turns with the bare chain. */
export async function userRows(lab: Lab): Promise<LimitRow[]> {
  return lab.withComet('tiers', (comet) =>
    lab.withBare(
      () => startBareChain(lab.deps.file),
      async (bare) => {
        const { warmPushMs } = lab.deps.scale;
        const both = { halley: comet.target, bare: bare?.target };
        const rows: LimitRow[] = [];
        let most = 0;
        for (const { what, goim, limit, ratio, with: pushing } of MOST) {
          const pair = await measured(lab, both, pushing, { perSecond: 0, warmMs: warmPushMs, what });
          most = Math.max(most, median(pair.halley.map(({ deliveredPerSecond }) => deliveredPerSecond)));
          rows.push(
            rowFor(lab, pair, ({ deliveredPerSecond }) => deliveredPerSecond, ratio, {
              what,
              goim,
              bound: 'least',
              limit,
              text: count,
            }),
          );
        }
        for (const { rate, p50, p99 } of RATES) {
          const what = `one durable push at ${count(rate)}/s, end to end`;
          // What a server that is overloaded needs says how long it was, and takes that long.
          const pair =
            rate > most
              ? { halley: [], bare: [] }
              : await measured(lab, both, PACED, { perSecond: rate, warmMs: WARM_RATE_MS, what });
          const tooMuch = rate > most ? `${count(most)}/s was the most that came` : '';
          const common = { bound: 'most', text: shortTime, note: tooMuch } as const;
          rows.push(
            rowFor(lab, pair, ({ latency }) => latency.p50Ms, p50, {
              what: `${what}, p50`,
              goim: rate === 100 ? '1.0 ms (not durable)' : '',
              limit: 2,
              ...common,
            }),
            rowFor(lab, pair, ({ latency }) => latency.p99Ms, p99, {
              what: `${what}, p99`,
              goim: rate === 100 ? '6.9 ms' : '',
              limit: 20,
              ...common,
            }),
          );
        }
        return rows;
      },
    ),
  );
}

function rowFor(
  lab: Lab,
  { halley, bare }: Pair,
  pick: (round: TrafficResult) => number,
  limit: number,
  { note = '', ...plan }: Omit<RowPlan, 'rounds' | 'beside' | 'faults'>,
): LimitRow {
  const faults = bare.flatMap((round) => trafficFaults(round, { inFlight: 1 }));
  for (const fault of new Set(faults)) lab.warnings.add(`${plan.what}, the bare chain: ${fault}`);
  const others = bare.map(pick);
  const isHeld = others.length > 0 && faults.length === 0;
  const beside: BesidePlan | undefined = isHeld ? { name: 'bare', rounds: others, limit } : undefined;
  return rowOf({
    ...plan,
    rounds: halley.map(pick),
    beside,
    note: [note, isHeld ? `the bare chain: ${plan.text(median(others))}` : ''].filter(Boolean).join('; '),
    faults: halley.flatMap((round) => trafficFaults(round, { inFlight: 1 })),
  });
}

/** Both are warmed up, then measured in turns. */
async function measured(
  lab: Lab,
  targets: { readonly halley: BenchTarget; readonly bare: BenchTarget | undefined },
  pushing: Pushing,
  plan: { readonly perSecond: number; readonly warmMs: number; readonly what: string },
): Promise<Pair> {
  const { rounds, durationMs } = lab.deps.scale;
  const { perSecond, warmMs, what } = plan;
  const found = { halley: [] as TrafficResult[], bare: [] as TrafficResult[] };
  const { halley, bare } = targets;
  const sides = [];
  try {
    sides.push(await Users.open(lab, halley, pushing, found.halley));
    if (bare) sides.push(await Users.open(lab, bare, pushing, found.bare));
    lab.deps.onProgress({ kind: 'phase', text: `${what}: warming up` });
    for (const side of sides) await side.push(perSecond || WARM_PER_SECOND, 0, warmMs / 2);
    for (const side of sides) await side.push(perSecond, 0, warmMs / 2);
    for (let round = 0; round < rounds; round += 1) {
      lab.deps.onProgress({ kind: 'phase', text: `${what}, round ${round + 1} of ${rounds}` });
      for (const side of sides) side.rounds.push(await side.push(perSecond, WARM_ROUND_MS, durationMs));
    }
    return found;
  } finally {
    for (const side of sides) await side.close();
  }
}

/** Connections of users to one server. */
class Users {
  private constructor(
    private readonly lab: Lab,
    private readonly bench: ReturnType<Lab['bench']>,
    private readonly side: Awaited<ReturnType<ReturnType<Lab['bench']>['load']>>,
    readonly rounds: TrafficResult[],
  ) {}

  static async open(
    lab: Lab,
    target: BenchTarget,
    pushing: Pushing,
    rounds: TrafficResult[],
  ): Promise<Users> {
    const options = {
      scenario: 'users',
      connections: CONNECTIONS,
      rooms: 0,
      inFlight: 1,
      ...pushing,
    } as const;
    const bench = lab.bench({ target }, options);
    try {
      const side = await bench.load(CONNECTIONS);
      await bench.connectAll(side);
      return new Users(lab, bench, side, rounds);
    } catch (error) {
      await bench.stop();
      throw error;
    }
  }

  async push(perSecond: number, warmupMs: number, durationMs: number): Promise<TrafficResult> {
    const { traffic, load } = await runTraffic(this.bench, {
      sides: [this.side],
      streams: userStreams(this.bench.identity, CONNECTIONS),
      perSecond,
      warmupMs,
      durationMs,
    });
    this.lab.watch('pushes to users', load);
    return traffic;
  }

  close(): Promise<void> {
    return this.bench.stop();
  }
}
