import { HalleyError } from '@halley/protocol/error';

import { CATALOGUE, type FaultKind } from './catalogue.js';

/** A kind of fault to draw from, and how long it lasts. */
export interface FaultChoice {
  readonly kind: FaultKind;
  readonly holdMs: number;
}

const named = (test: (kind: FaultKind) => boolean): string[] =>
  CATALOGUE.filter(test).map(({ name }) => name);

/** Words that stand for several kinds. */
export const FAULT_GROUPS: Readonly<Record<string, readonly string[]>> = {
  none: [],
  tiers: ['kill-comet', 'kill-logic', 'kill-job', 'drop-clients'],
  pauses: named(({ name }) => name.startsWith('pause-')),
  services: named(({ name }) => name.startsWith('restart-') || name === 'redis-flush'),
  partitions: named(({ link }) => link !== undefined),
  all: named(() => true),
};

/** Where the cluster makes pushes durable. */
type BusKind = 'kafka' | 'redis';

/**
 * Reads `kill-comet,pause-job:10,services`: names of kinds or groups, with seconds behind a colon. Groups leave out what the
 * cluster has not, or does not promise to survive. Throws `invalid_argument`, also on such a kind by its own name.
 */
export function parseFaults(text: string, bus: BusKind = 'kafka'): FaultChoice[] {
  const words = text
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean);
  const choices = new Map<string, FaultChoice>();
  for (const word of words) {
    const [, name = '', seconds] = /^([a-z-]+)(?::(\d{1,4}))?$/.exec(word) ?? [];
    const names = FAULT_GROUPS[name] ?? [name];
    for (const one of names) {
      const kind = CATALOGUE.find((known) => known.name === one);
      if (!kind) throw unknown(word);
      const objection = bus === 'redis' ? againstRedisBus(kind) : undefined;
      if (objection !== undefined && one !== name) continue;
      if (objection !== undefined) throw new HalleyError('invalid_argument', `${one}: ${objection}`);
      choices.set(one, { kind, holdMs: seconds === undefined ? kind.holdMs : Number(seconds) * 1_000 });
    }
  }
  return [...choices.values()];
}

/** Why a kind is not for a cluster whose bus is in Redis. */
function againstRedisBus({ name, needs }: FaultKind): string | undefined {
  if (needs === 'kafka') return 'the bus of this cluster is in Redis, there is no Kafka';
  if (name === 'redis-flush')
    return 'the bus of this cluster is in Redis: accepted pushes are lost with what it holds, as docs/guarantees.md says';
  return undefined;
}

function unknown(word: string): HalleyError {
  const known = [...Object.keys(FAULT_GROUPS), ...CATALOGUE.map(({ name }) => name)].join(', ');
  return new HalleyError('invalid_argument', `${word} is no fault; there are ${known}`);
}
