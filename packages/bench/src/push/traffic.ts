import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

import { encodeBody } from '../check/body.js';
import type { CancelAnswer, CheckedStream, NumberedPush, Terms } from '../check/log.js';
import type { Random } from '../random.js';
import type { Pusher, Target } from './pusher.js';
import { type Pushed, pushUntilKnown } from './repeat.js';
import { type DrawnTerms, drawTerms } from './terms.js';

/** A stream that is pushed to. */
export interface TrafficStream {
  readonly name: string;
  readonly kind: CheckedStream['kind'];
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
  /** Draws what pushes ask for. */
  readonly termsRandom: Random;
  /** For how long it is pushed. */
  readonly durationMs: number;
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
  readonly #cancels = new Set<Promise<void>>();
  readonly #giveUp = new AbortController();
  readonly #wheel: readonly TrafficStream[];
  /** Those that repeat by id and take options. */
  readonly #able: readonly Pusher[];
  #endsAtMs = Infinity;

  constructor(private readonly deps: TrafficDeps) {
    // Each that is to be cancelled waits with it.
    setMaxListeners(0, this.#giveUp.signal);
    this.#able = deps.pushers.filter(({ takesIds }) => takesIds);
    this.#wheel = deps.streams.flatMap((stream) =>
      Array.from({ length: Math.max(1, Math.round(stream.weight)) }, () => stream),
    );
  }

  /** Pushes until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const everyMs = 1_000 / this.deps.perSecond;
    let due = performance.now();
    this.#endsAtMs = this.deps.nowMs() + this.deps.durationMs;
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
    await Promise.all(this.#cancels);
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

  async #push({ name, kind, target }: TrafficStream, number: number, padding: number): Promise<void> {
    const { run, operation, random, nowMs } = this.deps;
    const pushedAtMs = nowMs();
    const drawn = this.#draw(kind, pushedAtMs);
    const id = `${run}-${name}-${number}`;
    const pushed = await pushUntilKnown(
      {
        target,
        operation,
        body: encodeBody({ run, stream: name, number, padding }),
        id,
        ...(drawn ? { options: drawn.options } : {}),
      },
      {
        pushers: drawn ? this.#able : this.deps.pushers,
        random,
        timeoutMs: this.deps.callTimeoutMs,
        signal: this.#patience(drawn?.terms, pushedAtMs),
      },
    );
    const push = this.#asLogged({ stream: name, number, pushedAtMs }, pushed, drawn?.terms);
    // One that was repeated may have been due by then, and been taken anew.
    if (drawn?.cancelAfterMs === undefined || pushed.outcome !== 'ok' || pushed.attempts > 1)
      this.pushes.push(push);
    else this.#cancelLater(push, id, drawn.cancelAfterMs);
    if (pushed.outcome !== 'ok') await sleep(REFUSED_WAIT_MS);
  }

  #draw(kind: CheckedStream['kind'], nowMs: number): DrawnTerms | undefined {
    if (this.#able.length === 0) return undefined;
    const now = { nowMs, unixMs: Date.now() };
    return drawTerms(kind, this.#endsAtMs - nowMs, now, this.deps.termsRandom);
  }

  /** What has expired is of no use any more, and is refused: then it stays unknown. */
  #patience(terms: Terms | undefined, nowMs: number): AbortSignal {
    const { signal } = this.#giveUp;
    if (terms?.expireAtMs === undefined) return signal;
    return AbortSignal.any([signal, AbortSignal.timeout(Math.round(terms.expireAtMs - nowMs))]);
  }

  #asLogged(
    which: Pick<NumberedPush, 'stream' | 'number' | 'pushedAtMs'>,
    { outcome, attempts, via, why }: Pushed,
    terms: Terms | undefined,
  ): NumberedPush {
    const answeredAtMs = this.deps.nowMs();
    return {
      ...which,
      outcome,
      attempts,
      answeredAtMs,
      via,
      ...(why ? { why } : {}),
      ...(terms ? { terms } : {}),
    };
  }

  /** Takes a push back after a while, at any logic, until that is known; it is logged then. */
  #cancelLater(push: NumberedPush, id: string, afterMs: number): void {
    const cancelled = sleep(afterMs, undefined, { signal: this.#giveUp.signal })
      .then(() => this.#cancel(id))
      .catch(() => undefined)
      .then((cancel) => {
        const terms = { ...push.terms, ...(cancel ? { cancel } : {}) };
        this.pushes.push({ ...push, terms });
        this.#cancels.delete(cancelled);
      });
    this.#cancels.add(cancelled);
  }

  async #cancel(id: string): Promise<CancelAnswer> {
    for (;;) {
      const answer = await this.deps.random.pick(this.#able).cancel?.(id, this.deps.callTimeoutMs);
      if (answer !== undefined && answer !== 'unknown') return answer;
      if (this.#giveUp.signal.aborted) return 'unknown';
      await sleep(REFUSED_WAIT_MS);
    }
  }
}
