import { describe, expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';

import { FakeClock } from '../testing/fake-clock.js';
import { Deadlines, type Expiring } from './deadlines.js';

class Entry implements Expiring {
  deadlineMs = 0;
  wheelSlot = -1;
  wheelNext: Expiring | undefined;
  wheelPrevious: Expiring | undefined;
  calls = 0;

  constructor(private readonly act: (entry: Entry) => void = () => undefined) {}

  onDeadline(): void {
    this.calls += 1;
    this.act(this);
  }
}

function wheel(): { clock: FakeClock; deadlines: Deadlines } {
  const clock = new FakeClock();
  return { clock, deadlines: new Deadlines({ clock, log: silentLogger(), tickMs: 100 }) };
}

describe('the timer wheel', () => {
  test('calls an entry once, at its deadline and never before', () => {
    const { clock, deadlines } = wheel();
    const entry = new Entry();
    deadlines.set(entry, clock.monotonicMs() + 8_000);
    for (let ms = 0; ms < 7_900; ms += 100) {
      clock.advance(100);
      deadlines.advance();
    }
    expect(entry.calls).toBe(0);
    clock.advance(200);
    deadlines.advance();
    expect(entry.calls).toBe(1);
    clock.advance(200_000);
    deadlines.advance();
    expect(entry.calls).toBe(1);
    expect(deadlines.size).toBe(0);
  });

  test('a deadline moved later by its number alone is kept', () => {
    const { clock, deadlines } = wheel();
    const entry = new Entry();
    deadlines.set(entry, clock.monotonicMs() + 1_000);
    entry.deadlineMs += 500_000;
    for (let ms = 0; ms < 499_000; ms += 1_000) {
      clock.advance(1_000);
      deadlines.advance();
    }
    expect(entry.calls).toBe(0);
    clock.advance(5_000);
    deadlines.advance();
    expect(entry.calls).toBe(1);
  });

  test('set moves an entry earlier, and clear takes it out', () => {
    const { clock, deadlines } = wheel();
    const [moved, cleared] = [new Entry(), new Entry()];
    deadlines.set(moved, clock.monotonicMs() + 100_000);
    deadlines.set(moved, clock.monotonicMs() + 500);
    deadlines.set(cleared, clock.monotonicMs() + 500);
    deadlines.clear(cleared);
    deadlines.clear(cleared);
    clock.advance(1_000);
    deadlines.advance();
    expect([moved.calls, cleared.calls]).toEqual([1, 0]);
  });

  test('a pause longer than the whole wheel calls everything that is due', () => {
    const { clock, deadlines } = wheel();
    const entries = Array.from({ length: 2_000 }, () => new Entry());
    entries.forEach((entry, i) => deadlines.set(entry, clock.monotonicMs() + i * 100));
    clock.advance(3_600_000);
    deadlines.advance();
    expect(entries.every((entry) => entry.calls === 1)).toBe(true);
  });

  test('an entry may clear another and set itself again while it is called; one that throws costs only itself', () => {
    const { clock, deadlines } = wheel();
    const victim = new Entry();
    const again = new Entry((entry) => {
      deadlines.clear(victim);
      if (entry.calls === 1) deadlines.set(entry, clock.monotonicMs() + 500);
    });
    const thrower = new Entry(() => {
      throw new Error('planted');
    });
    const last = new Entry();
    const at = clock.monotonicMs() + 500;
    // The newest of a slot comes first.
    for (const entry of [last, victim, again, thrower]) deadlines.set(entry, at);
    clock.advance(600);
    deadlines.advance();
    clock.advance(600);
    deadlines.advance();
    expect([thrower.calls, again.calls, victim.calls, last.calls]).toEqual([1, 2, 0, 1]);
  });
});
