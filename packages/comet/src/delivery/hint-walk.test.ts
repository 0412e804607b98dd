import { describe, expect, test } from '@jest/globals';

import { HintWalk, type Told } from './hint-walk.js';

class Follower implements Told<number, string> {
  streamNext: Follower | undefined = undefined;
  closed = false;
  readonly hints: number[] = [];
  onHint: () => void = () => undefined;
  failed: unknown = undefined;

  hint(hint: number): 'send' {
    this.hints.push(hint);
    this.onHint();
    return 'send';
  }

  fail(error: unknown): void {
    this.failed = error;
  }
}
const chainOf = (length: number): Follower[] => {
  const chain = Array.from({ length }, () => new Follower());
  for (const [index, follower] of chain.entries()) follower.streamNext = chain[index + 1];
  return chain;
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const told = (chain: readonly Follower[]): number => chain.filter(({ hints }) => hints.length > 0).length;
const walkOf = (options = {}) => {
  let count = 0;
  const faults: unknown[] = [];
  const deps = {
    onDecision: () => (count += 1),
    onFault: (error: unknown) => faults.push(error),
  };
  const walk = new HintWalk<number, string>(deps, { perTurn: 10, maxWaiting: 1_000, ...options });
  return { walk, count: () => count, faults };
};

describe('telling the followers of a stream', () => {
  test('is done at once where they are few, in each turn again', async () => {
    const { walk } = walkOf();
    const chain = chainOf(3);
    for (const hint of [1, 2, 3]) walk.tell(chain[0]!, hint, 'x');
    for (const { hints } of chain) expect(hints).toEqual([1, 2, 3]);
    await turn();
    for (const hint of [4, 5, 6]) walk.tell(chain[0]!, hint, 'x');
    for (const { hints } of chain) expect(hints).toHaveLength(6);
    expect(walk.waiting).toBe(0);
  });

  test('is done in turns where they are many, and what comes behind keeps its place', async () => {
    const { walk, count } = walkOf();
    const [many, few] = [chainOf(35), chainOf(2)];
    walk.tell(many[0]!, 1, 'x');
    walk.tell(many[0]!, 2, 'x');
    walk.tell(few[0]!, 3, 'x');
    expect(count()).toBe(10);
    expect(told(few)).toBe(0);
    await turn();
    expect(count()).toBe(20);
    while (walk.waiting > 0) await turn();
    for (const { hints } of many) expect(hints).toEqual([1, 2]);
    for (const { hints } of few) expect(hints).toEqual([3]);
    expect(count()).toBe(72);
  });

  test('passes over who has left meanwhile, and goes on where one leaves while it is told', async () => {
    const { walk } = walkOf({ perTurn: 2 });
    const chain = chainOf(6);
    chain[1]!.onHint = () => (chain[1]!.streamNext = undefined);
    walk.tell(chain[0]!, 1, 'x');
    chain[4]!.closed = true;
    chain[3]!.streamNext = undefined;
    while (walk.waiting > 0) await turn();
    expect(chain.map(({ hints }) => hints.length)).toEqual([1, 1, 1, 1, 0, 1]);
  });

  test('goes on behind one that cannot be told', async () => {
    const { walk, faults } = walkOf();
    const chain = chainOf(25);
    const planted = new Error('planted');
    for (const index of [3, 20])
      chain[index]!.onHint = () => {
        throw planted;
      };
    walk.tell(chain[0]!, 1, 'x');
    while (walk.waiting > 0) await turn();
    expect(told(chain)).toBe(25);
    expect(faults).toEqual([planted, planted]);
    expect(chain.flatMap(({ failed }, index) => (failed ? [index] : []))).toEqual([3, 20]);
  });

  test('is done at once when too many wait', () => {
    const { walk, count } = walkOf({ maxWaiting: 50 });
    const chain = chainOf(30);
    walk.tell(chain[0]!, 1, 'x');
    expect(count()).toBe(10);
    walk.tell(chain[0]!, 2, 'x');
    expect(count()).toBe(10);
    walk.tell(chain[0]!, 3, 'x');
    expect(count()).toBe(90);
    for (const { hints } of chain) expect(hints).toEqual([1, 2, 3]);
  });
});
