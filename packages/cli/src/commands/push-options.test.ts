import { describe, expect, test } from '@jest/globals';

import { acceptedLine } from './push.js';
import { timingOf } from './push-options.js';

const NOW = 1_900_000_000_000;

describe('when a push is delivered', () => {
  test('nothing said is at once and for ever', () => {
    expect(timingOf({}, NOW)).toEqual({ delay_ms: 0, deliver_at_ms: 0, expire_at_ms: 0, group: null });
  });

  test('after a delay or at a time, and expires so long after that', () => {
    expect(timingOf({ delay: 5_000, expireIn: 100 }, NOW)).toMatchObject({
      delay_ms: 5_000,
      expire_at_ms: NOW + 5_100,
    });
    expect(timingOf({ at: NOW + 7, expireIn: 100 }, NOW)).toMatchObject({
      deliver_at_ms: NOW + 7,
      expire_at_ms: NOW + 107,
    });
    // A time that has passed is at once.
    expect(timingOf({ at: NOW - 7, expireIn: 100 }, NOW).expire_at_ms).toBe(NOW + 100);
    expect(timingOf({ expireAt: NOW + 9 }, NOW).expire_at_ms).toBe(NOW + 9);
  });

  test('or with a group', () => {
    const group = { group: 'likes', window: 10_000 };
    expect(timingOf(group, NOW).group).toEqual({ key: 'likes', window_ms: 10_000, max_count: 0 });
    expect(timingOf({ ...group, maxCount: 5, expireIn: 100 }, NOW)).toMatchObject({
      expire_at_ms: NOW + 10_100,
      group: { max_count: 5 },
    });
  });

  test.each([
    ['one of --delay and --at', { delay: 1, at: NOW }],
    ['one of --expire-in and --expire-at', { expireIn: 1, expireAt: NOW }],
    ['are for a --group', { window: 5 }],
    ['are for a --group', { maxCount: 5 }],
    ['--window DURATION', { group: 'likes' }],
    ['--window in place of --delay and --at', { group: 'likes', window: 5, delay: 5 }],
  ])('refused: %s', (message, options) => {
    expect(() => timingOf(options, NOW)).toThrow(message);
  });
});

test('an accepted push tells its id and when it will be delivered', () => {
  const reply = { id: 'a', deliver_at_ms: '0', duplicate: false };
  expect(acceptedLine(reply, NOW)).toBe('ok a');
  expect(acceptedLine({ ...reply, duplicate: true }, NOW)).toBe('ok a (taken in before)');
  expect(acceptedLine({ ...reply, deliver_at_ms: String(NOW + 90_000) }, NOW)).toMatch(
    /^ok a, to be delivered \d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(in 1m 30s\)$/,
  );
});
