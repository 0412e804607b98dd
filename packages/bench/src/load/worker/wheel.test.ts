import { describe, expect, it } from '@jest/globals';

import { Wheel, type Timed } from './wheel.js';

/** A wheel on a clock of the test's own, and what it called. */
function wheelAt(startMs: number): {
  wheel: Wheel;
  go: (ms: number) => string[];
  timed: (name: string) => Timed;
} {
  let nowMs = startMs;
  let called: string[] = [];
  const wheel = new Wheel(() => nowMs);
  return {
    wheel,
    timed: (name) => ({ dueTick: -1, onTimer: () => called.push(name) }),
    go: (ms) => {
      nowMs += ms;
      called = [];
      wheel.turn();
      return called;
    },
  };
}

describe('the wheel', () => {
  it('calls each once, when it is due, and never early', () => {
    const { wheel, go, timed } = wheelAt(5);
    wheel.set(timed('a'), 100);
    wheel.set(timed('b'), 150);
    expect(go(90)).toEqual([]);
    expect(go(25)).toEqual(['a']);
    expect(go(50)).toEqual(['b']);
    expect(go(20_000)).toEqual([]);
  });

  it('leaves what is due in a later round', () => {
    const { wheel, go, timed } = wheelAt(0);
    wheel.set(timed('a'), 25_000);
    expect(go(10_240)).toEqual([]);
    expect(go(10_240)).toEqual([]);
    expect(go(5_000)).toEqual(['a']);
  });

  it('calls all that became due in a pause', () => {
    const { wheel, go, timed } = wheelAt(0);
    wheel.set(timed('a'), 10);
    wheel.set(timed('b'), 9_000);
    wheel.set(timed('c'), 30_000);
    expect(go(60_000).toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('keeps one timer for each: the last that was set, and none that was cleared', () => {
    const { wheel, go, timed } = wheelAt(0);
    const a = timed('a');
    const b = timed('b');
    wheel.set(a, 50);
    wheel.set(a, 500);
    wheel.set(b, 50);
    wheel.clear(b);
    expect(go(100)).toEqual([]);
    expect(go(500)).toEqual(['a']);
  });

  it('may be set again by what it calls', () => {
    const { wheel, go } = wheelAt(0);
    let times = 0;
    const beat: Timed = {
      dueTick: -1,
      onTimer: (nowMs) => {
        times += 1;
        wheel.set(beat, nowMs + 10_240);
      },
    };
    wheel.set(beat, 10);
    go(100);
    expect(times).toBe(1);
    go(10_260);
    expect(times).toBe(2);
  });
});
