import { describe, expect, test } from '@jest/globals';
import { CATALOGUE } from '@halley/bench/faults/catalogue';
import { parseFaults } from '@halley/bench/faults/fault-list';
import { drawSchedule } from '@halley/bench/faults/schedule';
import { Random } from '@halley/bench/random';

interface Round {
  readonly name: string;
  readonly faults: string;
  readonly seconds: number;
}

interface Asked {
  readonly only?: string;
  readonly short?: boolean;
  readonly minutes?: string;
  readonly bus?: string;
}

const { roundsOf } = (await import(new URL('rounds.mjs', import.meta.url).href)) as {
  readonly roundsOf: (asked: Asked) => Round[];
};
const { figuresOf, tableOf } = (await import(new URL('table.mjs', import.meta.url).href)) as {
  readonly figuresOf: (name: string, result: unknown, trouble?: string) => { readonly passed: boolean };
  readonly tableOf: (results: readonly unknown[]) => string;
};

describe('the rounds of npm run chaos', () => {
  test('break everything that there is to break', () => {
    const broken = roundsOf({}).flatMap(({ faults }) => parseFaults(faults).map(({ kind }) => kind.name));
    expect(new Set(broken)).toEqual(new Set(CATALOGUE.map(({ name }) => name)));
  });

  test.each([{}, { short: true }, { minutes: '0.1' }, { short: true, minutes: '0.1' }])(
    'take long enough for their faults: %j',
    (asked) => {
      for (const { faults, seconds } of roundsOf(asked))
        expect(drawSchedule(parseFaults(faults), seconds * 1_000, new Random(1)).length).toBeGreaterThan(0);
    },
  );

  test('are those that are asked for', () => {
    const asked = roundsOf({ only: 'pause-job, redis-flush', minutes: '2' });
    expect(asked).toEqual([
      { name: 'pause-job', faults: 'pause-job:30', seconds: 120 },
      { name: 'redis-flush', faults: 'redis-flush', seconds: 120 },
    ]);
    expect(() => roundsOf({ only: 'pause-jobs' })).toThrow('pause-jobs is no round; there are kill-comet');
    expect(() => roundsOf({ minutes: 'x' })).toThrow('--minutes x is no time');
  });
});

test('with the bus in Redis the rounds are those that it promises to survive', () => {
  const rounds = roundsOf({ bus: 'redis' });
  const broken = rounds.flatMap(({ faults }) => parseFaults(faults, 'redis').map(({ kind }) => kind.name));
  const left = CATALOGUE.filter(({ needs }) => needs !== 'kafka').map(({ name }) => name);
  expect(new Set(broken)).toEqual(new Set(left.filter((name) => name !== 'redis-flush')));
  expect(() => roundsOf({ bus: 'redis', only: 'restart-kafka' })).toThrow('restart-kafka is no round');
  expect(() => roundsOf({ bus: 'nats' })).toThrow('--bus nats is neither kafka nor redis');
  expect(() => parseFaults('redis-flush', 'redis')).toThrow('the bus of this cluster is in Redis');
  expect(parseFaults('services', 'redis').map(({ kind }) => kind.name)).toEqual([
    'restart-redis',
    'restart-zookeeper',
    'restart-mariadb',
  ]);
});

test('the table has a line for each round, with what went wrong', () => {
  const result = {
    passed: false,
    violations: { lost: 2, 'shown twice': 0, 'out of order': 0, phantom: 0, 'wrong user': 0 },
    troubles: ['user-1/tcp is not connected'],
    faults: [{}, {}],
    counts: {
      ok: 1_000,
      refused: 3,
      unknown: 1,
      deliveries: 4_000,
      repeats: 5,
      declaredGaps: 0,
      longestSilenceMs: 6_543,
    },
    readers: [{ habit: 'stays', p99Ms: 12.3 }],
    memory: [{ highestMb: 120.4 }],
  };
  const passed = { ...result, passed: true, violations: {}, troubles: [] };
  const rounds = [
    figuresOf('a', result),
    figuresOf('b', passed),
    figuresOf('c', undefined, 'halley: no node\n'),
  ];
  expect(rounds.map((round) => round.passed)).toEqual([false, true, false]);
  expect(tableOf(rounds).split('\n')).toEqual([
    'round  faults    ok  refused  unknown  deliveries  repeats  gaps  p99 ms  silence s  comet MB  result',
    'a           2  1000        3        1        4000        5     0      12        6.5       120  lost 2; user-1/tcp is not connected',
    'b           2  1000        3        1        4000        5     0      12        6.5       120  passed',
    'c                                                                                              no result: halley: no node',
  ]);
});
