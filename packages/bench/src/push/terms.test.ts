import { expect, test } from '@jest/globals';

import { Random } from '../random.js';
import { drawTerms } from './terms.js';

const NOW = { nowMs: 5_000.4, unixMs: 1_800_000_000_000 };

function drawn(kind: 'user' | 'room', leftMs: number) {
  const random = new Random(7);
  return Array.from({ length: 2_000 }, () => drawTerms(kind, leftMs, NOW, random)).flatMap(
    (one) => one ?? [],
  );
}

test('some pushes are for later, some expire, are collapsed or bulk; most are for now', () => {
  const all = drawn('user', 60_000);
  const having = (field: string) => all.filter(({ terms }) => field in terms).length / 20;
  expect(having('dueAtMs')).toBeGreaterThan(3);
  expect(having('expireAtMs')).toBeGreaterThan(3);
  expect(having('collapseKey')).toBeGreaterThan(4);
  expect(having('bulk')).toBeGreaterThan(4);
  expect(all.length).toBeLessThan(600);
  expect(all.filter(({ cancelAfterMs }) => cancelAfterMs !== undefined).length).toBeGreaterThan(10);
  expect(drawn('room', 60_000).some(({ terms }) => terms.collapseKey !== undefined)).toBe(false);
});

test('the judge is told the time that the cluster was, by its own clock', () => {
  for (const { options, terms } of drawn('user', 60_000)) {
    const { delay_ms, deliver_at_ms, expire_at_ms } = options;
    const delayMs = delay_ms ?? (deliver_at_ms === undefined ? undefined : deliver_at_ms - NOW.unixMs);
    expect(terms.dueAtMs).toBe(delayMs === undefined ? undefined : NOW.nowMs + delayMs - 1);
    expect(terms.expireAtMs).toBe(
      expire_at_ms === undefined ? undefined : NOW.nowMs + (expire_at_ms - NOW.unixMs),
    );
    if (delayMs !== undefined) expect(delayMs).toBeLessThanOrEqual(20_000);
    if (delayMs !== undefined && terms.expireAtMs !== undefined)
      expect(terms.expireAtMs).toBeGreaterThan(NOW.nowMs + delayMs);
  }
});

test('towards the end of a check they are for soon', () => {
  for (const { terms } of drawn('user', 200)) expect(terms.dueAtMs ?? 0).toBeLessThan(NOW.nowMs + 2_000);
});
