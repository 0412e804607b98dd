import type { LoadSide } from '../load/load-side.js';
import { count, micros, shortTime } from '../report/figures.js';
import type { Bench } from '../scenario/bench.js';
import type { LoadResult, TierResult } from '../scenario/result.js';
import { roomStreams } from '../scenario/streams.js';
import { runTraffic, type TrafficOutcome } from '../scenario/traffic.js';
import { trafficFaults } from '../scenario/verdict.js';
import { cometMicros, type Lab } from './lab.js';
import { type LimitRow, rowOf } from './row.js';

const LARGE = 10_000;
const SMALL = 1_000;
const PUSHES_PER_SECOND = 40;
/** Lone pushes of a round, and the time between them. */
const LONE = 5;
const LONE_MS = 400;
/** Where the search for the most begins, in pushes a second; then so much more each time. */
const FIRST_RATE = 400;
const STEP = 1.25;
const HALVINGS = 2;
/** A server whose last message comes later than this behind the last push does not keep up. */
const BEHIND_MS = 500;
const MOST_RATE = 20_000;

/** 10,000 in one room through all tiers: 40 pushes a second, then lone ones. */
export async function largeRoomRows(lab: Lab): Promise<LimitRow[]> {
  const { scale } = lab.deps;
  return lab.withComet('comet', async (comet) => {
    const bench = lab.bench(comet, { connections: LARGE });
    try {
      const side = await bench.load(LARGE);
      await bench.connectAll(side);
      const faults: string[] = [];
      const push = async (perSecond: number, durationMs: number, warmupMs: number) => {
        const outcome = await traffic(bench, side, perSecond, durationMs, warmupMs);
        lab.watch('10,000 in a room', outcome.load);
        faults.push(...trafficFaults(outcome.traffic, bench.options));
        return outcome;
      };
      const rounds: TrafficOutcome[] = [];
      const lone: number[] = [];
      for (let round = 0; round < scale.rounds; round += 1) {
        bench.say(`${LARGE} in a room, ${PUSHES_PER_SECOND} pushes/s, round ${round + 1} of ${scale.rounds}`);
        rounds.push(await push(PUSHES_PER_SECOND, scale.durationMs, round === 0 ? scale.warmupMs : 1_000));
        for (let one = 0; one < LONE; one += 1)
          lone.push((await push(1_000 / LONE_MS, LONE_MS, 0)).traffic.lastAfterMs);
      }
      const common = { bound: 'most', faults } as const;
      return [
        rowOf({
          what: '10,000 in a room, 40 pushes/s through all tiers, p50',
          goim: '304 ms',
          limit: 60,
          rounds: rounds.map((round) => round.traffic.latency.p50Ms),
          text: shortTime,
          ...common,
        }),
        rowOf({
          what: '10,000 in a room, 40 pushes/s, p99',
          goim: '574 ms',
          limit: 120,
          rounds: rounds.map((round) => round.traffic.latency.p99Ms),
          text: shortTime,
          ...common,
        }),
        rowOf({
          what: '10,000 in a room, 40 pushes/s, comet CPU a message',
          goim: '0.51 µs',
          limit: 1.1,
          rounds: rounds.map(({ tiers }) => cometMicros(tiers)),
          text: micros,
          ...common,
        }),
        rowOf({
          what: 'one push into an idle room of 10,000: until the last has it',
          goim: '1,050 ms',
          limit: 50,
          rounds: lone,
          text: shortTime,
          ...common,
        }),
      ];
    } finally {
      await bench.stop();
    }
  });
}

/** 1,000 in one room through all tiers: as many deliveries a second as none is lost at, by trying. */
export async function mostRow(lab: Lab): Promise<LimitRow> {
  return lab.withComet('comet', async (comet) => {
    const bench = lab.bench(comet, { connections: SMALL });
    try {
      const side = await bench.load(SMALL);
      await bench.connectAll(side);
      await traffic(bench, side, FIRST_RATE / 2, lab.deps.scale.warmupMs, 0);
      let ended = '';
      const best = await mostWithoutLoss(async (rate) => {
        bench.say(`1,000 in a room, ${count(rate)} pushes/s`);
        const { durationMs } = lab.deps.scale;
        const { traffic: found, tiers, load } = await traffic(bench, side, rate, durationMs, 0);
        const faults = trafficFaults(found, bench.options);
        const perSecond = (found.delivered * 1_000) / (durationMs + found.lastAfterMs);
        if (faults.length === 0 && found.lastAfterMs <= BEHIND_MS) return perSecond;
        ended = `at ${count(rate)} pushes/s: ${faults[0] ?? `${shortTime(found.lastAfterMs)} behind at the end`}; ${cpuText(tiers, load)}`;
        return undefined;
      });
      return rowOf({
        what: 'most delivered/s in one room of 1,000 through all tiers, without loss',
        goim: '1,280,000',
        bound: 'least',
        limit: 1_600_000,
        rounds: best === undefined ? [] : [best],
        text: count,
        note: ended,
      });
    } finally {
      await bench.stop();
    }
  });
}

/**
 * Tries higher and higher rates until one is not kept up with, then between the last two. `attempt` answers what was delivered
 * a second, undefined where the server did not keep up. Undefined when it did not at the first.
 */
export async function mostWithoutLoss(
  attempt: (rate: number) => Promise<number | undefined>,
): Promise<number | undefined> {
  let best: { readonly rate: number; readonly delivered: number } | undefined;
  let failed = Infinity;
  for (let rate = FIRST_RATE; rate <= MOST_RATE; rate = Math.round(rate * STEP)) {
    const delivered = await attempt(rate);
    if (delivered === undefined) {
      failed = rate;
      break;
    }
    best = { rate, delivered };
  }
  for (let halving = 0; best && failed < Infinity && halving < HALVINGS; halving += 1) {
    const rate = Math.round((best.rate + failed) / 2);
    const delivered = await attempt(rate);
    if (delivered === undefined) failed = rate;
    else best = { rate, delivered };
  }
  return best?.delivered;
}

/** Whose processor it was that ended. */
function cpuText(tiers: readonly TierResult[], { readersPercent, pusherPercent }: LoadResult): string {
  const used = [
    ...tiers.map(({ tier, cpuPercent }) => ({ name: tier, percent: cpuPercent })),
    { name: 'readers', percent: readersPercent },
    { name: 'pusher', percent: pusherPercent },
  ];
  return used
    .filter(({ percent }) => percent >= 1)
    .map(({ name, percent }) => `${name} ${percent.toFixed(0)} %`)
    .join(', ');
}

function traffic(
  bench: Bench,
  side: LoadSide,
  perSecond: number,
  durationMs: number,
  warmupMs: number,
): Promise<TrafficOutcome> {
  return runTraffic(bench, {
    sides: [side],
    streams: roomStreams(bench.identity, bench.options.connections),
    perSecond,
    warmupMs,
    durationMs,
  });
}
