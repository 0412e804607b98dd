import { count, shortTime } from '../report/figures.js';
import type { LoadResult, TierResult, TrafficResult } from '../scenario/result.js';
import { trafficFaults } from '../scenario/verdict.js';
import { Kernel } from './kernel.js';
import type { Lab } from './lab.js';
import { roomTraffic } from './room-rows.js';
import { type LimitRow, rowOf } from './row.js';

const SMALL = 1_000;
const WARM_C_MS = 500;
/** What C made a second where the target was set. */
const C_THERE = 512_000;
/** Where the search for the most begins, in pushes a second; then so much more each time. */
const FIRST_RATE = 400;
const STEP = 1.4;
/** A rate is tried so often: a hiccup of the machine is not its limit. */
const ATTEMPTS = 2;
const HALVINGS = 2;
/** A server whose last message, or 1 % of all, comes later than this after its push was due does not keep up; goim holds a lone push back twice as long. */
const KEPT_UP_MS = 500;
const LEAST_RATE = 25;
const MOST_RATE = 20_000;

/** 1,000 in one room through all tiers: as many deliveries a second as none is lost at, by trying; then C, one upon the other. */
export async function mostRow(lab: Lab): Promise<LimitRow> {
  const sends = await cSends(lab);
  return lab.withComet('comet', async (comet) => {
    const bench = lab.bench(comet, { connections: SMALL });
    try {
      const side = await bench.load(SMALL);
      await bench.connectAll(side);
      const { durationMs, warmPushMs } = lab.deps.scale;
      await roomTraffic(bench, side, FIRST_RATE / 2, warmPushMs, 0);
      let kept = '';
      let ended = '';
      const attempt = async (rate: number): Promise<number | undefined> => {
        bench.say(`1,000 in a room, ${count(rate)} pushes/s`);
        const { traffic: found, tiers, load } = await roomTraffic(bench, side, rate, durationMs, 0);
        const why = behind(found) ?? trafficFaults(found, bench.options)[0];
        const at = `${count(found.delivered)} of ${count(found.expected)} delivered at ${count(rate)} pushes/s, p99 ${shortTime(found.latency.p99Ms)}, the last ${shortTime(found.lastAfterMs)} behind`;
        if (why === undefined) {
          kept = at;
          return (found.delivered * 1_000) / (durationMs + found.lastAfterMs);
        }
        ended = `not kept up: ${at} (${why}); ${cpuText(tiers, load)}`;
        return undefined;
      };
      const best = await mostWithoutLoss(async (rate) => {
        let delivered: number | undefined;
        for (let tried = 0; delivered === undefined && tried < ATTEMPTS; tried += 1)
          delivered = await attempt(rate);
        return delivered;
      });
      return rowOf({
        what: 'most delivered/s in one room of 1,000 through all tiers, without loss',
        goim: '1,280,000',
        bound: 'least',
        limit: 1_600_000,
        rounds: best === undefined ? [] : [best],
        text: count,
        beside: { name: 'C', rounds: [sends], limit: 1_600_000 / C_THERE },
        note: [
          `kept up is: all delivered in order, nothing refused, p99 and the last message at most ${KEPT_UP_MS} ms behind when they were due`,
          kept,
          ended,
          `C alone made ${count(sends)} sends a second`,
        ]
          .filter(Boolean)
          .join('; '),
      });
    } finally {
      await bench.stop();
    }
  });
}

/** What C sends a second to 1,000 connections, a message a send, one pass upon the other. */
async function cSends(lab: Lab): Promise<number> {
  const kernel = await Kernel.start(lab, SMALL);
  try {
    await kernel.run(0, WARM_C_MS);
    return (await kernel.run(0, lab.deps.scale.durationMs / 2)).sendsPerSecond;
  } finally {
    await kernel.close();
  }
}

/** What is against a rate although everything came; undefined when it was kept up with. */
export function behind({
  latency,
  lastAfterMs,
}: Pick<TrafficResult, 'latency' | 'lastAfterMs'>): string | undefined {
  if (lastAfterMs > KEPT_UP_MS)
    return `the last message came ${shortTime(lastAfterMs)} after the last push was due`;
  return latency.p99Ms > KEPT_UP_MS ? `p99 ${shortTime(latency.p99Ms)}` : undefined;
}

/**
 * Tries higher and higher rates until one is not kept up with (lower ones where the first is not), then between the last two.
 * `attempt` answers what was delivered a second, undefined where the server did not keep up. Undefined when it never did.
 */
export async function mostWithoutLoss(
  attempt: (rate: number) => Promise<number | undefined>,
): Promise<number | undefined> {
  let best: { readonly rate: number; readonly delivered: number } | undefined;
  let failed = Infinity;
  for (let rate = FIRST_RATE; rate >= LEAST_RATE && rate <= MOST_RATE;) {
    const delivered = await attempt(rate);
    if (delivered === undefined) {
      failed = rate;
      if (best) break;
      rate = Math.round(rate / 2);
    } else {
      best = { rate, delivered };
      if (failed < Infinity) break;
      rate = Math.round(rate * STEP);
    }
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
