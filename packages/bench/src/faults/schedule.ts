import { HalleyError } from '@halley/protocol/error';

import type { Random } from '../random.js';
import type { FaultChoice } from './fault-list.js';

/** A fault to come. */
export interface PlannedFault {
  /** Since the check began, in milliseconds; later when the one before takes longer to be put right. */
  readonly atMs: number;
  readonly kind: string;
  readonly holdMs: number;
  /** Counts up with each fault of the kind, from a start that is drawn. */
  readonly turn: number;
}

/** Before the first fault and behind the last one, all is well for so long. */
const CALM_MS = 3_000;
const MIN_PAUSE_MS = 1_000;
const PAUSE_SPREAD_MS = 3_000;

/**
 * Draws which fault comes when: rounds of all kinds, each round in an order of its own, one after the other with pauses between
 * them, as many as there is time for. The same seed draws the same. Throws `invalid_argument` when there is not time for each kind once.
 */
export function drawSchedule(
  choices: readonly FaultChoice[],
  durationMs: number,
  random: Random,
): PlannedFault[] {
  const neededMs =
    2 * CALM_MS + choices.reduce((total, choice) => total + lengthMs(choice) + MIN_PAUSE_MS, 0);
  if (choices.length > 0 && neededMs > durationMs) {
    throw new HalleyError(
      'invalid_argument',
      `these faults take ${Math.ceil(neededMs / 1_000)} s one after the other; --duration is ${durationMs / 1_000}`,
    );
  }
  const turns = new Map(choices.map(({ kind }) => [kind.name, random.below(64)]));
  const planned: PlannedFault[] = [];
  let atMs = CALM_MS;
  for (let round = 0; choices.length > 0; round += 1) {
    const order = random.shuffled(choices);
    for (const [index, choice] of order.entries()) {
      // What is left of the first round keeps its time.
      const restMs = order.slice(index).reduce((total, one) => total + lengthMs(one) + MIN_PAUSE_MS, CALM_MS);
      const spareMs = round === 0 ? durationMs - atMs - restMs : PAUSE_SPREAD_MS;
      if (round > 0 && atMs + lengthMs(choice) + CALM_MS > durationMs) return planned;
      const turn = turns.get(choice.kind.name) ?? 0;
      turns.set(choice.kind.name, turn + 1);
      planned.push({ atMs: Math.round(atMs), kind: choice.kind.name, holdMs: choice.holdMs, turn });
      const pauseMs = MIN_PAUSE_MS + random.below(1 + Math.max(0, Math.min(PAUSE_SPREAD_MS, spareMs)));
      atMs += lengthMs(choice) + pauseMs;
    }
  }
  return planned;
}

function lengthMs({ kind, holdMs }: FaultChoice): number {
  return holdMs + kind.healMs;
}
