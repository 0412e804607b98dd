import { setTimeout as sleep } from 'node:timers/promises';

import type { LoadSide } from '../load/load-side.js';
import { latencyHistogram, percentilesOf, summaryOf } from '../measure/latency.js';
import type { Accounts, Bench } from './bench.js';
import { openSender } from './open-sender.js';
import { Pump } from './pump.js';
import type { BenchSample, LoadResult, TierResult, TrafficResult } from './result.js';
import { mergedSample } from './merged-sample.js';
import type { Streams } from './streams.js';
import { Tally } from './tally.js';

export interface TrafficPlan {
  /** One or more: what they receive is counted together. */
  readonly sides: readonly LoadSide[];
  readonly streams: Streams;
  readonly perSecond: number;
  readonly warmupMs: number;
  readonly durationMs: number;
}

export interface TrafficOutcome {
  readonly traffic: TrafficResult;
  readonly tiers: readonly TierResult[];
  readonly load: LoadResult;
  readonly samples: readonly BenchSample[];
}

/** What is behind the window's begin or end. */
interface Mark {
  readonly accounts: Accounts;
  readonly readersMs: number;
  readonly delivered: number;
  readonly due: number;
  readonly answered: number;
}

const SLICES = 240;
const MIN_SLICE_MS = 250;
const SETTLE_LOOK_MS = 50;
/** However much still trickles in. */
const MAX_SETTLE_MS = 60_000;

/**
 * Pushes for the warm-up and the duration, and looks at all that comes. Figures are of the time behind the warm-up; what is lost
 * is of all. Then waits for what is still missing: what comes late counts in the latency.
 */
export async function runTraffic(bench: Bench, plan: TrafficPlan): Promise<TrafficOutcome> {
  const sender = openSender(bench.options);
  try {
    return await new Traffic(bench, plan, sender).run();
  } finally {
    sender.close();
  }
}

class Traffic {
  readonly #pump: Pump;
  readonly #tally: Tally;
  readonly #samples: BenchSample[] = [];
  readonly #sliceMs: number;
  #latency = latencyHistogram();
  #readersMs = 0;
  #open = 0;
  #kind: LoadSide['kind'];

  constructor(
    private readonly bench: Bench,
    private readonly plan: TrafficPlan,
    sender: ReturnType<typeof openSender>,
  ) {
    const { options, deps, run, sequences } = bench;
    this.#kind = plan.sides[0]?.kind ?? 'node';
    this.#tally = new Tally(options.inFlight > 1);
    const totalMs = plan.warmupMs + plan.durationMs;
    this.#sliceMs = Math.max(MIN_SLICE_MS, Math.ceil(totalMs / SLICES / MIN_SLICE_MS) * MIN_SLICE_MS);
    this.#pump = new Pump({
      streams: plan.streams,
      sender,
      beat: deps.beat,
      run,
      sequences,
      bodyBytes: options.bodyBytes,
      callers: options.callers,
      inFlight: options.inFlight,
      perSecond: plan.perSecond,
      durationMs: totalMs,
      signal: deps.signal,
    });
  }

  async run(): Promise<TrafficOutcome> {
    const { warmupMs, durationMs } = this.plan;
    // What came before is not of this traffic.
    await this.#take();
    let before = await this.#mark();
    const startMs = before.accounts.tiers.atMs;
    let isPumping = true;
    const pumping = this.#pump.run().finally(() => {
      isPumping = false;
    });
    let begin = before;
    let end = before;
    for (let isWarm = warmupMs === 0; isPumping;) {
      await Promise.race([sleep(this.#sliceMs), pumping]);
      const histogram = await this.#take();
      if (isWarm) this.#latency.add(histogram);
      const mark = await this.#mark();
      this.#sample(before, mark, startMs, summaryOf(histogram));
      const atMs = mark.accounts.tiers.atMs - startMs;
      if (!isWarm && atMs >= warmupMs) {
        isWarm = true;
        this.#pump.resetTimes();
        begin = mark;
        end = mark;
      } else if (isWarm && atMs <= warmupMs + durationMs + this.#sliceMs) end = mark;
      before = mark;
    }
    await pumping;
    const atLast = this.#pump.lastDueNs;
    await this.#settle();
    return this.#outcome(begin, end, atLast);
  }

  /** Reads what came; answers how long it took. */
  async #take() {
    const sample = mergedSample(await Promise.all(this.plan.sides.map((side) => side.sample())));
    this.#tally.add(sample);
    this.#readersMs = sample.cpuMs;
    this.#open = sample.open;
    return sample.latency;
  }

  async #mark(): Promise<Mark> {
    const { ok, refused, unknown, due } = this.#pump;
    return {
      accounts: await this.bench.accounts(),
      readersMs: this.#readersMs,
      delivered: this.#tally.unique,
      due,
      answered: ok + refused + unknown,
    };
  }

  #sample(from: Mark, to: Mark, startMs: number, { p50Ms, p99Ms }: { p50Ms: number; p99Ms: number }): void {
    const seconds = (to.accounts.tiers.atMs - from.accounts.tiers.atMs) / 1_000;
    if (seconds <= 0) return;
    const tiers = this.bench.tiers(from.accounts, to.accounts, {});
    const sample: BenchSample = {
      atMs: from.accounts.tiers.atMs - startMs,
      connections: this.#open,
      deliveredPerSecond: (to.delivered - from.delivered) / seconds,
      pushesPerSecond: (to.due - from.due) / seconds,
      p50Ms,
      p99Ms,
      cpuPercent: Object.fromEntries(tiers.map(({ tier, cpuPercent }) => [tier, cpuPercent])),
      rssBytes: Object.fromEntries(tiers.map(({ tier, rssBytes }) => [tier, rssBytes])),
    };
    this.#samples.push(sample);
    this.bench.deps.onProgress({ kind: 'sample', sample });
  }

  /** Until all that can come has come, or nothing came for the patience. */
  async #settle(): Promise<void> {
    const { expected, maybe } = this.#pump;
    const startMs = performance.now();
    let newsMs = startMs;
    while (this.#tally.unique < expected + maybe && !this.bench.deps.signal.aborted) {
      const before = this.#tally.delivered;
      await sleep(SETTLE_LOOK_MS);
      this.#latency.add(await this.#take());
      const nowMs = performance.now();
      if (this.#tally.delivered > before) newsMs = nowMs;
      if (nowMs - newsMs > this.bench.options.settleMs || nowMs - startMs > MAX_SETTLE_MS) return;
    }
    // Anything that should not come.
    await sleep(SETTLE_LOOK_MS);
    this.#latency.add(await this.#take());
  }

  #outcome(begin: Mark, end: Mark, lastDueNs: bigint): TrafficOutcome {
    const pump = this.#pump;
    const tally = this.#tally;
    const windowMs = Math.max(1, end.accounts.tiers.atMs - begin.accounts.tiers.atMs);
    const delivered = end.delivered - begin.delivered;
    const pushes = end.answered - begin.answered;
    return {
      traffic: {
        due: pump.due,
        ok: pump.ok,
        refused: pump.refused,
        unknown: pump.unknown,
        unsent: pump.unsent,
        whys: Object.fromEntries(pump.whys),
        expected: pump.expected,
        delivered: tally.unique,
        lost: Math.max(0, pump.expected - tally.unique),
        outOfOrder: tally.outOfOrder,
        repeated: tally.repeated,
        strays: tally.strays,
        closed: Object.fromEntries(tally.closed),
        windowMs,
        pushesPerSecond: (pushes * 1_000) / windowMs,
        deliveredPerSecond: (delivered * 1_000) / windowMs,
        latency: summaryOf(this.#latency),
        percentiles: percentilesOf(this.#latency),
        lateness: summaryOf(pump.lateness),
        answers: summaryOf(pump.answers),
        lastAfterMs: tally.lastAtNs > lastDueNs ? Number(tally.lastAtNs - lastDueNs) / 1e6 : 0,
      },
      tiers: this.bench.tiers(begin.accounts, end.accounts, { delivered, pushes }),
      load: this.bench.loadResult(this.#kind, begin.accounts, end.accounts, end.readersMs - begin.readersMs),
      samples: this.#samples,
    };
  }
}
