import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import type { Faults } from './faults.js';
import { SEEN_BY_CLIENTS, Violation, type Invariant } from './invariants.js';
import { runSchedule, type RunOptions } from './run.js';

// HALLEY_MODEL_SEED and HALLEY_MODEL_RUNS search elsewhere and longer.
const SEED = Number(process.env['HALLEY_MODEL_SEED'] ?? 20_250_301);
const RUNS = Number(process.env['HALLEY_MODEL_RUNS'] ?? 20_000);
const MAX_STEPS = 250;

const schedules = fc.noBias(fc.array(fc.nat(), { maxLength: MAX_STEPS, size: 'max' }));

interface Found {
  readonly violation: Violation;
  readonly schedule: readonly number[];
}

/** Runs schedules until one breaks an invariant, which is made as short as it can be with `shrink`. */
function search(options: RunOptions, shrink = false): Found | undefined {
  const property = fc.property(schedules, (schedule) => runSchedule(schedule, options));
  const { counterexample, errorInstance } = fc.check(property, {
    seed: SEED,
    numRuns: RUNS,
    endOnFailure: !shrink,
  });
  if (!counterexample) return undefined;
  if (!(errorInstance instanceof Violation)) throw errorInstance;
  return { violation: errorInstance, schedule: counterexample[0] };
}

/** What to read when an invariant breaks: the seed, and the schedule step by step. */
function explain({ violation, schedule }: Found, options: RunOptions): string {
  const trace: string[] = [];
  expect(() => runSchedule(schedule, { ...options, trace })).toThrow(violation.message);
  const steps = trace.map((line, index) => `${index + 1}. ${line}`);
  return [`${violation.message} (HALLEY_MODEL_SEED=${SEED} HALLEY_MODEL_RUNS=${RUNS})`, ...steps].join('\n');
}

test(`no invariant breaks in ${RUNS} schedules`, () => {
  const found = search({}, true);
  expect(found && explain(found, {})).toBeUndefined();
}, 3_600_000);

describe('a bug is found that leaves out', () => {
  test.each<[string, Faults]>([
    ['the rewind to applied', { skipRewind: true }],
    ['the through bound', { skipThrough: true }],
    ['prev', { skipPrev: true }],
    ['the archive before the trim', { trimUnarchived: true }],
  ])(
    '%s, by the stores and by clients alone',
    (_rule, faults) => {
      expect(search({ faults })?.violation).toBeInstanceOf(Violation);
      expect(search({ faults, watched: SEEN_BY_CLIENTS })?.violation).toBeInstanceOf(Violation);
    },
    600_000,
  );
});

describe('each invariant can break', () => {
  test.each<[Invariant, keyof Faults]>([
    ['1 in the bus', 'ackBeforeWrite'],
    ['2 held', 'skipRewind'],
    ['2 held', 'trimUnarchived'],
    ['2 watermarks', 'commitUnarchived'],
    ['3 same record', 'numberByBatch'],
    ['4 nothing between', 'skipThrough'],
    ['4 nothing between', 'skipPrev'],
    ['5 increasing', 'sendWholePages'],
    ['6 owner', 'skipOwner'],
    ['7 catches up', 'skipRenewed'],
    ['7 catches up', 'skipProbe'],
    ['7 catches up', 'forgetRestored'],
    ['lost', 'databaseFirst'],
    ['lost', 'floorFirst'],
    ['lost', 'collapseAnyDevice'],
    ['lost', 'collapseByRepeats'],
    ['lost', 'collapseItself'],
    ['lost', 'collapseWithin'],
    ['4 nothing between', 'collapseAnyDevice'],
    ['twice', 'skipIds'],
    ['twice', 'forgetIdsByClock'],
    ['twice', 'clientsForgetIds'],
    ['out of order', 'nextBeforeRetry'],
    ['phantom', 'refuseAfterWrite'],
    ['wrong user', 'skipFilter'],
  ])(
    '%s: %s',
    (invariant, fault) => {
      const found = search({ faults: { [fault]: true }, watched: new Set([invariant]) });
      expect(found?.violation.invariant).toBe(invariant);
    },
    600_000,
  );
});

test('a schedule runs the same each time', () => {
  const [schedule] = fc
    .sample(schedules, { seed: SEED, numRuns: 50 })
    .toSorted((a, b) => b.length - a.length);
  const runs = [0, 1].map(() => {
    const trace: string[] = [];
    runSchedule(schedule!, { trace });
    return trace;
  });
  expect(runs[0]!.length).toBeGreaterThan(100);
  expect(runs[1]).toEqual(runs[0]);
});
