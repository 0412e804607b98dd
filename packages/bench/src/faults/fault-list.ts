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

/** Reads `kill-comet,pause-job:10,services`: names of kinds or groups, with seconds behind a colon. Throws `invalid_argument`. */
export function parseFaults(text: string): FaultChoice[] {
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
      choices.set(one, { kind, holdMs: seconds === undefined ? kind.holdMs : Number(seconds) * 1_000 });
    }
  }
  return [...choices.values()];
}

function unknown(word: string): HalleyError {
  const known = [...Object.keys(FAULT_GROUPS), ...CATALOGUE.map(({ name }) => name)].join(', ');
  return new HalleyError('invalid_argument', `${word} is no fault; there are ${known}`);
}
