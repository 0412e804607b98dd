import type { LoadSide } from '../load/load-side.js';
import { micros, shortTime } from '../report/figures.js';
import type { Bench } from '../scenario/bench.js';
import { roomStreams } from '../scenario/streams.js';
import { runTraffic, type TrafficOutcome } from '../scenario/traffic.js';
import { trafficFaults } from '../scenario/verdict.js';
import { Kernel, type KernelRun } from './kernel.js';
import { cometMicros, type Lab } from './lab.js';
import { type BesidePlan, type LimitRow, median, rowOf } from './row.js';

const LARGE = 10_000;
const PUSHES_PER_SECOND = 40;
/** Lone pushes of a round, and the time between them. */
const LONE = 5;
const LONE_MS = 400;
/** Of C over 10,000. */
const PASSES_PER_SECOND = 8;
const WARM_C_MS = 500;
/** What a pass of C over 10,000 took, and a send of it, where the targets were set. */
const THERE = { passMs: 29, sendMicros: 2.9 };

/** 10,000 in one room through all tiers: 40 pushes a second, then lone ones; in turns with passes of C over as many. */
export async function largeRoomRows(lab: Lab): Promise<LimitRow[]> {
  const { scale } = lab.deps;
  const kernel = await Kernel.start(lab, LARGE);
  try {
    return await lab.withComet('comet', async (comet) => {
      const bench = lab.bench(comet, { connections: LARGE });
      try {
        const side = await bench.load(LARGE);
        await bench.connectAll(side);
        const faults: string[] = [];
        const push = async (perSecond: number, durationMs: number, warmupMs: number) => {
          const outcome = await roomTraffic(bench, side, perSecond, durationMs, warmupMs);
          lab.watch('10,000 in a room', outcome.load);
          faults.push(...trafficFaults(outcome.traffic, bench.options));
          return outcome;
        };
        const rounds: Round[] = [];
        await kernel.run(PASSES_PER_SECOND, WARM_C_MS);
        for (let round = 0; round < scale.rounds; round += 1) {
          bench.say(
            `${LARGE} in a room, ${PUSHES_PER_SECOND} pushes/s, round ${round + 1} of ${scale.rounds}`,
          );
          const c = await kernel.run(PASSES_PER_SECOND, scale.durationMs / 2);
          const pushed = await push(
            PUSHES_PER_SECOND,
            scale.durationMs,
            round === 0 ? scale.warmPushMs : 1_000,
          );
          const lone: number[] = [];
          for (let one = 0; one < LONE; one += 1)
            lone.push((await push(1_000 / LONE_MS, LONE_MS, 0)).traffic.lastAfterMs);
          rounds.push({ c, pushed, lone });
        }
        return rowsOf(rounds, faults);
      } finally {
        await bench.stop();
      }
    });
  } finally {
    await kernel.close();
  }
}

interface Round {
  readonly c: KernelRun;
  readonly pushed: TrafficOutcome;
  readonly lone: readonly number[];
}

function rowsOf(rounds: readonly Round[], faults: readonly string[]): LimitRow[] {
  const common = { bound: 'most', faults } as const;
  const passes = rounds.map(({ c }) => c.passMs);
  const of = (pick: (c: KernelRun) => number): number => median(rounds.map(({ c }) => pick(c)));
  const pass = (limitMs: number) =>
    ({ name: 'C', rounds: passes, limit: limitMs / THERE.passMs }) as const satisfies BesidePlan;
  const c = `a pass of C took ${shortTime(median(passes))}, ${THERE.passMs} ms where the target was set`;
  const alone = `C at ${PASSES_PER_SECOND} pushes/s: p50 ${shortTime(of(({ latency }) => latency.p50Ms))}, p99 ${shortTime(of(({ latency }) => latency.p99Ms))}; 16 and 37 ms there`;
  return [
    rowOf({
      what: '10,000 in a room, 40 pushes/s through all tiers, p50',
      goim: '304 ms',
      limit: 60,
      rounds: rounds.map(({ pushed }) => pushed.traffic.latency.p50Ms),
      text: shortTime,
      beside: pass(60),
      note: `${c}; ${alone}`,
      ...common,
    }),
    rowOf({
      what: '10,000 in a room, 40 pushes/s, p99',
      goim: '574 ms',
      limit: 120,
      rounds: rounds.map(({ pushed }) => pushed.traffic.latency.p99Ms),
      text: shortTime,
      beside: pass(120),
      ...common,
    }),
    rowOf({
      what: '10,000 in a room, 40 pushes/s, comet CPU a message',
      goim: '0.51 µs',
      limit: 1.1,
      rounds: rounds.map(({ pushed }) => cometMicros(pushed.tiers)),
      text: micros,
      beside: {
        name: 'C',
        rounds: rounds.map(({ c: { sendMicros } }) => sendMicros),
        limit: 1.1 / THERE.sendMicros,
      },
      note: `a send of C took ${micros(of(({ sendMicros }) => sendMicros))}, ${THERE.sendMicros} µs there`,
      ...common,
    }),
    rowOf({
      what: 'one push into an idle room of 10,000: until the last has it',
      goim: '1,050 ms',
      limit: 50,
      rounds: rounds.map(({ lone }) => median(lone)),
      text: shortTime,
      beside: pass(50),
      ...common,
    }),
  ];
}

/** Pushes to the rooms of a run. */
export function roomTraffic(
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
