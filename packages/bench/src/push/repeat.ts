import { setTimeout as sleep } from 'node:timers/promises';

import type { Outcome } from '../check/log.js';
import type { Random } from '../random.js';
import type { Push, Pusher } from './pusher.js';

export interface RepeatDeps {
  /** One at least that takes ids. */
  readonly pushers: readonly Pusher[];
  readonly random: Random;
  /** How long one call may take. */
  readonly timeoutMs: number;
  /** No more repeats when it aborts. */
  readonly signal: AbortSignal;
}

/** What became of a push in the end. */
export interface Pushed {
  readonly outcome: Outcome;
  /** Calls that may have been taken. */
  readonly attempts: number;
  readonly via: string;
  readonly why: string;
}

const WAIT_MS = 200;

/**
 * Pushes through a logic that is drawn. Where none can be connected to, the next is asked. What is unknown is repeated with the same
 * id until it is known: until then the caller sends nothing else to that target. A call without an id cannot be repeated.
 */
export async function pushUntilKnown(push: Push, deps: RepeatDeps): Promise<Pushed> {
  const { random, timeoutMs, signal } = deps;
  let attempts = 0;
  let left = random.shuffled(deps.pushers);
  for (;;) {
    const [pusher, ...others] = left;
    if (!pusher) {
      // None was reached. What was sent before may still appear.
      if (attempts === 0)
        return { outcome: 'refused', attempts, via: 'none', why: 'no logic takes connections' };
      await sleep(WAIT_MS);
    } else {
      const { outcome, why } = await pusher.push(push, timeoutMs);
      left = others;
      if (outcome === 'unreached') continue;
      const isFirst = attempts === 0;
      attempts += 1;
      if (outcome === 'ok') return { outcome, attempts, via: pusher.name, why };
      if (isFirst && (outcome === 'refused' || !pusher.takesIds))
        return { outcome, attempts, via: pusher.name, why };
      if (signal.aborted) return { outcome: 'unknown', attempts, via: pusher.name, why };
      await sleep(WAIT_MS);
    }
    if (signal.aborted) return { outcome: 'unknown', attempts, via: 'none', why: 'no answer that says so' };
    if (left.length === 0 || attempts === 1)
      left = random.shuffled(deps.pushers).filter(({ takesIds }) => takesIds);
  }
}
