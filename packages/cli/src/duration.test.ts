import { describe, expect, test } from '@jest/globals';

import { aheadText, duration, durationText, nextTimeOfDay, pointInTime, timeText } from './duration.js';

describe('a duration', () => {
  test.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['15m', 900_000],
    ['2h', 7_200_000],
    ['3d', 259_200_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
  ])('%s', (text, ms) => {
    expect(duration(text)).toBe(ms);
  });

  test.each(['', '15', 'm', '15 m', '15x', '-5s', '0s', '1h soon', '999999999999d'])('%p is none', (text) => {
    expect(() => duration(text)).toThrow('Must be a duration');
  });

  test.each([
    [0, '0ms'],
    [999, '999ms'],
    [1_000, '1s'],
    [90_000, '1m 30s'],
    [3_600_000, '1h'],
    [90_061_000, '1d 1h'],
    [59_999, '1m'],
  ])('of %d ms is told as %s', (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });
});

describe('a point in time', () => {
  test.each([
    ['2030-12-31T23:59:00Z', Date.UTC(2030, 11, 31, 23, 59)],
    ['2030-12-31T23:59:00+01:00', Date.UTC(2030, 11, 31, 22, 59)],
    ['2030-12-31 23:59', new Date(2030, 11, 31, 23, 59).getTime()],
    ['2030-12-31', new Date(2030, 11, 31).getTime()],
    ['1924992000000', 1_924_992_000_000],
  ])('%s', (text, ms) => {
    expect(pointInTime(text)).toBe(ms);
  });

  test.each(['', 'tomorrow', '12', '2030-13-01', '31.12.2030', '5'])('%p is none', (text) => {
    expect(() => pointInTime(text)).toThrow('Must be a time');
  });

  test('of the day is the next such', () => {
    const now = new Date(2030, 11, 31, 12, 0);
    expect(nextTimeOfDay('18:00', now)).toBe(new Date(2030, 11, 31, 18, 0).getTime());
    expect(nextTimeOfDay('9:30:15', now)).toBe(new Date(2031, 0, 1, 9, 30, 15).getTime());
    expect(nextTimeOfDay('12:00', now)).toBe(new Date(2031, 0, 1, 12, 0).getTime());
    expect(() => pointInTime('25:00')).toThrow('no such time of day');
  });

  test('is told in this time zone, with how far it is', () => {
    const at = new Date(2030, 11, 31, 23, 59).getTime();
    expect(timeText(at)).toBe('2030-12-31 23:59:00');
    expect(aheadText(at, at - 90_000)).toBe('2030-12-31 23:59:00 (in 1m 30s)');
    expect(aheadText(at, at + 5_000)).toBe('2030-12-31 23:59:00 (5s ago)');
  });
});
