import type { UserId } from '@halley/protocol/ids';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

import type { ReadMark, Reads } from './reads.js';

export interface ReadsHarness {
  readonly reads: Reads;
  close(): Promise<void>;
}

let users = 0;

/** What every store of read positions does. */
export function readsContract(adapter: string, makeHarness: () => Promise<ReadsHarness>): void {
  describe(`read positions on ${adapter}`, () => {
    let harness: ReadsHarness;
    const mark = (position: number, atMs = 1, epoch = 'e1'): ReadMark => ({ epoch, position, atMs });
    const user = (): UserId => `${9_007_199_254_740_993n + BigInt((users += 1))}` as UserId;
    const advance = (mid: UserId, marks: Record<string, ReadMark>) =>
      harness.reads.advance(mid, new Map(Object.entries(marks)));
    const get = async (mid: UserId, ...streams: string[]) =>
      Object.fromEntries(await harness.reads.get(mid, streams));

    beforeAll(async () => {
      harness = await makeHarness();
    });
    afterAll(() => harness.close());

    test('are kept by user and stream, and answered as they are asked for', async () => {
      const [a, b] = [user(), user()];
      const long = `r/${'ü'.repeat(1_000)}`;
      const marks = { 'u/1': mark(-1, 1_700_000_000_001), [long]: mark(2 ** 53 - 1), 'R/x': mark(4) };
      expect(Object.fromEntries(await advance(a, marks))).toEqual(marks);
      await advance(b, { 'u/1': mark(7) });
      expect(await get(a, 'u/1', long, 'r/x', 'u/2')).toEqual({
        'u/1': marks['u/1'],
        [long]: marks[long],
      });
      expect(await get(b, 'u/1', 'R/x')).toEqual({ 'u/1': mark(7) });
      expect(await get(user(), 'u/1')).toEqual({});
      expect(await get(a)).toEqual({});
      expect((await advance(a, {})).size).toBe(0);
    });

    test('grow only, and one that does not keeps its time', async () => {
      const mid = user();
      await advance(mid, { a: mark(5, 10), b: mark(5, 10) });
      const now = await advance(mid, { a: mark(4, 20), b: mark(6, 20), c: mark(0, 20) });
      expect(Object.fromEntries(now)).toEqual({ a: mark(5, 10), b: mark(6, 20), c: mark(0, 20) });
      expect((await advance(mid, { a: mark(5, 30) })).get('a')).toEqual(mark(5, 10));
      expect(await get(mid, 'a', 'b')).toEqual({ a: mark(5, 10), b: mark(6, 20) });
    });

    test('of another epoch take the place of what is there', async () => {
      const mid = user();
      await advance(mid, { a: mark(500, 10) });
      expect((await advance(mid, { a: mark(3, 20, 'e2') })).get('a')).toEqual(mark(3, 20, 'e2'));
      expect((await advance(mid, { a: mark(2, 30, 'e2') })).get('a')).toEqual(mark(3, 20, 'e2'));
    });

    test('of many devices at once end at the largest', async () => {
      const mid = user();
      const positions = Array.from({ length: 20 }, (_, index) => (index * 7) % 20);
      await Promise.all(
        positions.map((at) =>
          advance(mid, at % 2 ? { a: mark(at), b: mark(at) } : { b: mark(at), a: mark(at) }),
        ),
      );
      expect(await get(mid, 'a', 'b')).toEqual({ a: mark(19), b: mark(19) });
    });
  });
}
