import { describe, expect, test } from '@jest/globals';

import { Random } from '../random.js';
import { CATALOGUE } from './catalogue.js';
import { FAULT_GROUPS, parseFaults } from './fault-list.js';
import { drawSchedule } from './schedule.js';

const MINUTE_MS = 60_000;

describe('a list of faults', () => {
  test('names kinds and groups, and how many seconds they last', () => {
    expect(parseFaults('').length).toBe(0);
    expect(parseFaults('none').length).toBe(0);
    const choices = parseFaults('kill-comet, pause-job:10,kill-comet:5');
    expect(choices.map(({ kind, holdMs }) => [kind.name, holdMs])).toEqual([
      ['kill-comet', 5_000],
      ['pause-job', 10_000],
    ]);
    expect(parseFaults('all').map(({ kind }) => kind)).toEqual(CATALOGUE);
  });

  test('must name what there is', () => {
    expect(() => parseFaults('kill-commet')).toThrow('kill-commet is no fault; there are none, tiers');
    expect(() => parseFaults('kill-comet:x')).toThrow('is no fault');
  });

  test.each(Object.entries(FAULT_GROUPS))('the group %s is of kinds that there are', (group, names) => {
    expect(parseFaults(group).map(({ kind }) => kind.name)).toEqual(names);
  });
});

describe('a schedule', () => {
  const tiers = parseFaults('tiers');

  test('is the same for the same seed, and another for another', () => {
    const draw = (seed: number) => drawSchedule(tiers, MINUTE_MS, new Random(seed));
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  test.each([1, 2, 3, 4, 5])(
    'has each fault once in the first round, one after the other (seed %d)',
    (seed) => {
      const schedule = drawSchedule(tiers, MINUTE_MS, new Random(seed));
      expect(new Set(schedule.slice(0, tiers.length).map(({ kind }) => kind)).size).toBe(tiers.length);
      for (const [index, { atMs, holdMs }] of schedule.entries()) {
        const next = schedule[index + 1];
        if (next) expect(next.atMs).toBeGreaterThan(atMs + holdMs);
        else expect(atMs + holdMs).toBeLessThanOrEqual(MINUTE_MS - 3_000);
      }
    },
  );

  test('takes the nodes of a tier in turn', () => {
    const schedule = drawSchedule(parseFaults('kill-job'), 10 * MINUTE_MS, new Random(1));
    const [first] = schedule;
    expect(schedule.length).toBeGreaterThan(20);
    expect(schedule.map(({ turn }) => turn)).toEqual(schedule.map((_, index) => (first?.turn ?? 0) + index));
  });

  test('is empty without faults, and needs time for each', () => {
    expect(drawSchedule([], 1_000, new Random(1))).toEqual([]);
    expect(() => drawSchedule(tiers, 20_000, new Random(1))).toThrow(
      /these faults take \d+ s one after the other; --duration is 20/,
    );
  });
});
