import { describe, expect, test } from '@jest/globals';

import { checkRule, nextOccurrence, occurrenceDue } from './cron.js';

const at = (text: string): number => Date.parse(text);
const rule = (cron: string, timeZone = 'UTC', endAtMs = 0) => ({ cron, timeZone, endAtMs });
const iso = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString();

describe('a cron expression', () => {
  test('of five fields, of six with seconds, and by name', () => {
    const from = at('2026-03-01T10:20:30Z');
    expect(iso(nextOccurrence(rule('*/15 * * * *'), from))).toBe('2026-03-01T10:30:00.000Z');
    expect(iso(nextOccurrence(rule('*/10 * * * * *'), from))).toBe('2026-03-01T10:20:40.000Z');
    expect(iso(nextOccurrence(rule('@daily'), from))).toBe('2026-03-02T00:00:00.000Z');
    expect(iso(nextOccurrence(rule('0 9 * * *', 'Asia/Kolkata'), from))).toBe('2026-03-02T03:30:00.000Z');
  });

  test('has no occurrence after its end, nor when no day is such', () => {
    const from = at('2026-03-01T10:20:30Z');
    const end = at('2026-03-01T10:30:00Z');
    expect(nextOccurrence(rule('*/15 * * * *', 'UTC', end), from)).toBe(end);
    expect(nextOccurrence(rule('*/15 * * * *', 'UTC', end - 1), from)).toBeUndefined();
    expect(nextOccurrence(rule('0 0 30 2 *'), from)).toBeUndefined();
  });

  test('at an hour that is left out occurs after it, at one that comes twice once', () => {
    const berlin = rule('30 2 * * *', 'Europe/Berlin');
    expect(iso(nextOccurrence(berlin, at('2026-03-29T00:00:00Z')))).toBe('2026-03-29T01:00:00.000Z');
    const twice = nextOccurrence(berlin, at('2026-10-25T00:00:00Z'))!;
    expect(iso(twice)).toBe('2026-10-25T00:30:00.000Z');
    expect(iso(nextOccurrence(berlin, twice))).toBe('2026-10-26T01:30:00.000Z');
  });

  test.each([
    ['every day', 'cron: must have five fields'],
    ['61 * * * *', 'cron: Invalid value for minute: 61'],
    ['', 'cron: must have five fields'],
    ['0 0 1 1 * * 2030', 'cron: must have five fields'],
    ['@every 5m', 'or be one of @hourly, @daily'],
    ['2030-01-01T00:00:00', 'cron: must have five fields'],
  ])('%p is refused with the field that is wrong', (cron, message) => {
    expect(() => checkRule(rule(cron))).toThrow(message);
  });

  test('a time zone that is none is refused', () => {
    expect(() => checkRule(rule('* * * * *', 'Moon/Base'))).toThrow('time_zone: Moon/Base');
    expect(() => checkRule(rule('* * * * *', 'Europe/Berlin'))).not.toThrow();
  });
});

describe('an occurrence that is due', () => {
  const due = at('2026-03-01T10:00:00Z');

  test('is the one that was waited for', () => {
    expect(occurrenceDue(rule('0 * * * *'), due, due)).toEqual({
      dueAtMs: due,
      missed: 0,
      nextAtMs: due + 3_600_000,
    });
  });

  test('is the newest after an outage; the others are counted', () => {
    const now = at('2026-03-01T14:30:00Z');
    expect(occurrenceDue(rule('0 * * * *'), due, now)).toEqual({
      dueAtMs: at('2026-03-01T14:00:00Z'),
      missed: 4,
      nextAtMs: at('2026-03-01T15:00:00Z'),
    });
    expect(occurrenceDue(rule('0 * * * *'), due, at('2026-03-01T14:00:00Z'))).toMatchObject({
      dueAtMs: at('2026-03-01T14:00:00Z'),
      missed: 4,
    });
  });

  test('is the last one before the end, and there is no next', () => {
    const now = at('2026-03-01T14:30:00Z');
    const end = at('2026-03-01T12:10:00Z');
    expect(occurrenceDue(rule('0 * * * *', 'UTC', end), due, now)).toEqual({
      dueAtMs: at('2026-03-01T12:00:00Z'),
      missed: 2,
      nextAtMs: undefined,
    });
  });

  test('a long outage of a frequent one takes no long time to count', () => {
    const now = due + 30 * 24 * 3_600_000;
    expect(occurrenceDue(rule('* * * * * *'), due, now)).toEqual({
      dueAtMs: now,
      missed: 1_000,
      nextAtMs: now + 1_000,
    });
  });
});
