import { setTimeout as sleep } from 'node:timers/promises';

import { encodeBody } from '../check/body.js';
import type { NumberedPush } from '../check/log.js';
import type { Random } from '../random.js';
import type { Pusher, Target } from './pusher.js';
import { pushUntilKnown } from './repeat.js';

/** A stream that is pushed to. */
export interface TrafficStream {
  readonly name: string;
  readonly target: Target;
  /** How often it is pushed to, compared with others. */
  readonly weight: number;
}

export interface TrafficDeps {
  readonly run: string;
  readonly operation: number;
  readonly streams: readonly TrafficStream[];
  readonly pushers: readonly Pusher[];
  readonly perSecond: number;
  readonly random: Random;
  readonly nowMs: () => number;
  readonly callTimeoutMs: number;
  /** Bodies up to 256 bytes are kept inline, larger ones by reference: both are pushed. */
  readonly maxBodyBytes: number;
}

/** After a refusal a caller waits. */
const REFUSED_WAIT_MS = 200;

/** Pushes numbers at a rate, to streams that are drawn: one push at a time to each, the next when the one before is known. */
export class Traffic {
  /** Every push that has an answer, or was given up. */
  readonly pushes: NumberedPush[] = [];
  /** Pushes that were due while all streams were busy. */
  heldBack = 0;
  readonly #next = new Map<string, number>();
  readonly #busy = new Map<string, Promise<void>>();
  readonly #giveUp = new AbortController();
  readonly #wheel: readonly TrafficStream[];

  constructor(private readonly deps: TrafficDeps) {
    this.#wheel = deps.streams.flatMap((stream) =>
      Array.from({ length: Math.max(1, Math.round(stream.weight)) }, () => stream),
    );
  }

  /** Pushes until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const everyMs = 1_000 / this.deps.perSecond;
    let due = performance.now();
    while (!signal.aborted) {
      await sleep(Math.max(0, due - performance.now()), undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      const stream = this.#idle();
      if (stream) this.#start(stream);
      else this.heldBack += 1;
      // What was held up by a busy machine is not made up for at once.
      due = Math.max(due + everyMs, performance.now() - 1_000);
    }
  }

  /** Waits for the answers, and gives up what has none by then: it stays unknown. */
  async finish(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.#giveUp.abort(), timeoutMs);
    await Promise.all(this.#busy.values());
    clearTimeout(timer);
  }

  #idle(): TrafficStream | undefined {
    const { random } = this.deps;
    for (let tries = 0; tries < 16; tries += 1) {
      const stream = random.pick(this.#wheel);
      if (!this.#busy.has(stream.name)) return stream;
    }
    return undefined;
  }

  #start(stream: TrafficStream): void {
    const { random } = this.deps;
    const number = this.#next.get(stream.name) ?? 0;
    this.#next.set(stream.name, number + 1);
    const padding = random.below(this.deps.maxBodyBytes);
    const pushed = this.#push(stream, number, padding).finally(() => this.#busy.delete(stream.name));
    this.#busy.set(stream.name, pushed);
  }

  async #push({ name, target }: TrafficStream, number: number, padding: number): Promise<void> {
    const { run, operation, pushers, random, nowMs, callTimeoutMs } = this.deps;
    const pushedAtMs = nowMs();
    const pushed = await pushUntilKnown(
      {
        target,
        operation,
        body: encodeBody({ run, stream: name, number, padding }),
        id: `${run}-${name}-${number}`,
      },
      { pushers, random, timeoutMs: callTimeoutMs, signal: this.#giveUp.signal },
    );
    const { outcome, attempts, via, why } = pushed;
    this.pushes.push({
      stream: name,
      number,
      outcome,
      attempts,
      pushedAtMs,
      answeredAtMs: nowMs(),
      via,
      ...(why ? { why } : {}),
    });
    if (outcome !== 'ok') await sleep(REFUSED_WAIT_MS);
  }
}
