import type { Histogram } from 'hdr-histogram-js';

import { type Sender as StampSender, stamped } from '../load/stamp.js';
import { latencyHistogram } from '../measure/latency.js';
import type { Beat } from '../pace/beat.js';
import { type DuePush, type LaneReply, Lanes } from '../pace/lanes.js';
import { openLoop } from '../pace/open-loop.js';
import type { Sender } from '../send/sender.js';
import type { Streams } from './streams.js';
import { addReasons } from './tally.js';

export interface PumpOptions {
  readonly streams: Streams;
  readonly sender: Sender;
  readonly beat: Beat;
  readonly run: bigint;
  /** The last sequence of each stream: it goes on where traffic before left it. */
  readonly sequences: Map<StampSender, number>;
  readonly bodyBytes: number;
  readonly callers: number;
  readonly inFlight: number;
  /** 0: each caller pushes again as soon as it has its answer. */
  readonly perSecond: number;
  /** In all, with the warm-up. */
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/** Pushes that are due and wait for a call: a server that is behind by more holds up the plan, which the latency tells. */
const MAX_WAITING = 200_000;
/** From the begin to the first push. */
const START_IN_NS = 20_000_000n;
/** What is still not sent so long after the last one was due stays unsent. */
const GRACE_NS = 5_000_000_000n;
const ANSWERS_WITHIN_MS = 15_000;
/** How often it is looked whether the time is over, or the run broken off. */
const LOOK_NS = 50_000_000n;

/** Pushes at a rate, or as fast as it is answered, and counts the answers. */
export class Pump {
  ok = 0;
  refused = 0;
  unknown = 0;
  unsent = 0;
  /** Messages that must come of what was answered OK, and those that may of what is unknown. */
  expected = 0;
  maybe = 0;
  readonly whys = new Map<string, number>();
  /** From when a push was due to its call, since {@link resetTimes}. */
  lateness: Histogram = latencyHistogram();
  /** From when a push was due to its OK, since {@link resetTimes}. */
  answers: Histogram = latencyHistogram();
  /** When the last push of all was due. */
  lastDueNs = 0n;
  readonly #lanes: Lanes;
  #pushed = 0;
  #isFeeding = false;

  constructor(private readonly options: PumpOptions) {
    const { streams, sender, callers, inFlight } = options;
    this.#lanes = new Lanes({
      sender,
      lanes: Math.min(callers, streams.all.length),
      inFlight,
      maxWaiting: MAX_WAITING,
      outgoing: (push) => this.#outgoing(push),
      onReply: (reply) => this.#onReply(reply),
    });
  }

  /** Pushes that were due until now. */
  get due(): number {
    return this.#pushed;
  }

  resetTimes(): void {
    this.lateness = latencyHistogram();
    this.answers = latencyHistogram();
  }

  /** Resolves when all were answered, or given up. */
  async run(): Promise<void> {
    await (this.options.perSecond > 0 ? this.#paced() : this.#fed());
    const late = setTimeout(() => {
      this.unsent += this.#lanes.giveUp();
    }, ANSWERS_WITHIN_MS);
    await this.#lanes.idle();
    clearTimeout(late);
  }

  async #paced(): Promise<void> {
    const { beat, perSecond, durationMs, signal } = this.options;
    const count = Math.max(1, Math.round((perSecond * durationMs) / 1_000));
    const startNs = beat.nowNs() + START_IN_NS;
    const plan = { startNs, perSecond, count, graceNs: GRACE_NS };
    const taken = await openLoop(plan, {
      beat,
      signal,
      take: (_index, dueNs) => this.#add(dueNs),
      full: () => this.#lanes.full(),
    });
    if (signal.aborted) return;
    this.unsent += count - taken;
    // The last push is due before the end: what it comes to belongs to the time that is measured.
    const endNs = startNs + BigInt(Math.round(durationMs * 1e6));
    if (endNs > beat.nowNs()) await beat.until(endNs);
  }

  /** Keeps every caller busy. */
  async #fed(): Promise<void> {
    const { beat, durationMs, signal, sender, callers, inFlight, streams } = this.options;
    this.#isFeeding = true;
    const atOnce = Math.min(callers, streams.all.length) * inFlight * sender.maxBatch;
    for (let count = 0; count < atOnce; count += 1) this.#add(beat.nowNs());
    const untilNs = beat.nowNs() + BigInt(Math.round(durationMs * 1e6));
    for (let nowNs = beat.nowNs(); nowNs < untilNs && !signal.aborted; nowNs = beat.nowNs())
      await beat.until(nowNs + LOOK_NS < untilNs ? nowNs + LOOK_NS : untilNs);
    this.#isFeeding = false;
  }

  #add(dueNs: bigint): void {
    const stream = this.options.streams.streamOf(this.#pushed);
    this.#pushed += 1;
    if (dueNs > this.lastDueNs) this.lastDueNs = dueNs;
    this.#lanes.add({ stream, dueNs });
  }

  #outgoing({ stream, dueNs }: DuePush) {
    const { streams, run, sequences, bodyBytes, beat } = this.options;
    const of = streams.all[stream];
    if (!of) throw new RangeError(`there is no stream ${stream}`);
    const { sender, target } = of;
    const sequence = (sequences.get(sender) ?? 0) + 1;
    sequences.set(sender, sequence);
    this.lateness.recordValue(Math.max(1, Number(beat.nowNs() - dueNs)));
    return {
      target,
      body: stamped(bodyBytes, { sender, sequence: BigInt(sequence), intendedNs: dueNs, run }),
    };
  }

  #onReply({ pushes, outcomes, why }: LaneReply): void {
    const nowNs = this.options.beat.nowNs();
    for (const [index, { stream, dueNs }] of pushes.entries()) {
      const outcome = outcomes[index] ?? 'unknown';
      if (outcome === 'ok') this.answers.recordValue(Math.max(1, Number(nowNs - dueNs)));
      const members = this.options.streams.all[stream]?.members ?? 0;
      this[outcome] += 1;
      if (outcome === 'ok') this.expected += members;
      else if (outcome === 'unknown') this.maybe += members;
    }
    if (why !== '') addReasons(this.whys, new Map([[why, 1]]));
    if (!this.#isFeeding) return;
    for (let count = 0; count < pushes.length; count += 1) this.#add(nowNs);
  }
}
