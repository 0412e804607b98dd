import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';

import type { DeadLetterQuery, DeadLetterStore, NewDeadLetter } from './dead.js';

export interface DeadLettersHarness {
  /** Started. */
  readonly dead: DeadLetterStore;
  close(): Promise<void>;
}

let places = 0;

function letter(fields: Partial<NewDeadLetter> = {}): NewDeadLetter {
  places += 1;
  return {
    place: { partition: 3, offset: places },
    atMs: 1_000 + places,
    topic: 'halley-push',
    partition: 7,
    offset: 2 ** 53 - 1 - places,
    reason: 'undecodable',
    detail: '',
    key: 'r/ü',
    headers: { 'x-ü': 'a\n"b"' },
    value: new Uint8Array([0, 10, 255]),
    valueBytes: 3,
    cut: false,
    ...fields,
  };
}

/** What every store of dead letters does. */
export function deadLettersContract(adapter: string, makeHarness: () => Promise<DeadLettersHarness>): void {
  describe(`dead letters on ${adapter}`, () => {
    let harness: DeadLettersHarness;
    let dead: DeadLetterStore;
    beforeAll(async () => {
      harness = await makeHarness();
      dead = harness.dead;
    });
    beforeEach(() => dead.retain({ sinceMs: 0, maxLetters: 0 }));
    afterAll(() => harness.close());

    const list = async (query: Partial<DeadLetterQuery> = {}) => {
      const { letters, more } = await dead.list({ maxLetters: 100, ...query });
      return { offsets: letters.map(({ atMs }) => atMs), ids: letters.map(({ id }) => id), more };
    };

    test('are kept once for each place in halley-dead, and answered as they were', async () => {
      const [a, b] = [letter({ detail: 'why ü', cut: true, valueBytes: 2 ** 40 }), letter()];
      await dead.add('e', [a]);
      await dead.add('e', [a, b]);
      await dead.add('e', []);
      await dead.add('e2', [{ ...a, atMs: 9_999_999 }]);
      const { letters } = await dead.list({ maxLetters: 9 });
      expect(letters.map(({ atMs }) => atMs)).toEqual([9_999_999, b.atMs, a.atMs]);
      const id = letters[2]!.id;
      const { place: _, ...rest } = a;
      const found = (await dead.get(id))!;
      expect({ ...found, value: new Uint8Array(found.value) }).toEqual({ ...rest, id, requeuedAtMs: 0 });
      const { key: _key, headers: _headers, value: _value, ...head } = rest;
      expect(letters[2]).toEqual({ ...head, id, requeuedAtMs: 0 });
      expect(await dead.get('999999999')).toBeUndefined();
    });

    test('are kept once for each record, however often it was put aside', async () => {
      const first = letter();
      const again = (fields: Partial<NewDeadLetter> = {}) => letter({ offset: first.offset, ...fields });
      await dead.add('e', [first, again()]);
      await dead.add('e', [again({ reason: 'empty' })]);
      expect((await list()).offsets).toEqual([first.atMs]);
      const others = [
        again({ topic: 'x' }),
        again({ partition: 8 }),
        letter({ offset: first.offset - 1_000 }),
      ];
      const unknown = [again({ topic: '' }), again({ topic: '' })];
      await dead.add('e', [...others, ...unknown]);
      await dead.add('e', unknown);
      await dead.add('e2', [again({ atMs: 1 })]);
      const times = [first, ...others, ...unknown].map(({ atMs }) => atMs);
      expect((await list()).offsets).toEqual([...times, 1].reverse());
      await dead.retain({ sinceMs: 0, maxLetters: 0 });
      await dead.add('e', [first]);
      expect((await list()).offsets).toEqual([first.atMs]);
    });

    test('are listed the newest first, page by page, by topic and by reason', async () => {
      const letters = [
        letter(),
        letter({ topic: 'goim-push-topic' }),
        letter({ reason: 'empty' }),
        letter({ topic: 'goim-push-topic', reason: 'empty' }),
        letter(),
      ];
      await dead.add('e', letters);
      const [a, b, c, d, e] = letters.map(({ atMs }) => atMs) as [number, number, number, number, number];
      const first = await list({ maxLetters: 2 });
      expect(first).toMatchObject({ offsets: [e, d], more: true });
      const second = await list({ maxLetters: 2, before: first.ids[1]! });
      expect(second).toMatchObject({ offsets: [c, b], more: true });
      expect(await list({ maxLetters: 2, before: second.ids[1]! })).toMatchObject({
        offsets: [a],
        more: false,
      });
      expect(await list({ topic: 'goim-push-topic' })).toMatchObject({ offsets: [d, b] });
      expect(await list({ reason: 'empty', maxLetters: 1 })).toMatchObject({ offsets: [d], more: true });
      expect(await list({ reason: 'empty', topic: 'halley-push' })).toMatchObject({
        offsets: [c],
        more: false,
      });
      expect(await list({ topic: 'Halley-push' })).toMatchObject({ offsets: [] });
    });

    test('are claimed once, unless somebody insists, and a claim can be taken back by its time', async () => {
      await dead.add('e', [letter()]);
      const id = (await list()).ids[0]!;
      const claims = await Promise.all([5, 6, 7].map((atMs) => dead.claim(id, atMs, false)));
      const won = claims.filter(({ outcome }) => outcome === 'claimed');
      expect(won).toHaveLength(1);
      const atMs = (won[0] as { letter: { requeuedAtMs: number } }).letter.requeuedAtMs;
      expect(claims.filter(({ outcome }) => outcome === 'requeued')).toEqual(
        [0, 0].map(() => ({ outcome: 'requeued', atMs })),
      );
      expect(await dead.claim(id, 8, true)).toMatchObject({
        outcome: 'claimed',
        letter: { id, requeuedAtMs: 8, key: 'r/ü' },
      });
      await dead.unclaim(id, atMs);
      expect((await dead.get(id))?.requeuedAtMs).toBe(8);
      await dead.unclaim(id, 8);
      expect((await dead.get(id))?.requeuedAtMs).toBe(0);
      expect(await dead.claim('999999999', 1, true)).toEqual({ outcome: 'absent' });
    });

    test('go by age and by number, and their places with them', async () => {
      const letters = Array.from({ length: 6 }, () => letter());
      await dead.add('e', letters);
      const times = letters.map(({ atMs }) => atMs);
      expect(await dead.retain({ sinceMs: times[1]!, maxLetters: 5 })).toBe(1);
      expect((await list()).offsets).toEqual(times.slice(1).reverse());
      expect(await dead.retain({ sinceMs: times[3]!, maxLetters: 100 })).toBe(2);
      expect(await dead.retain({ sinceMs: 0, maxLetters: 1 })).toBe(2);
      expect((await list()).offsets).toEqual([times[5]]);
      await dead.add('e', letters.slice(0, 1));
      expect((await list()).offsets).toEqual([times[0], times[5]]);
    });
  });
}
