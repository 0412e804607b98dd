import { beforeEach, describe, expect, test } from '@jest/globals';
import { silentLogger } from '@halley/service/log';

import { Commits } from './commits.js';

interface Lane {
  readonly name: string;
}

const A: Lane = { name: 'a' };
const B: Lane = { name: 'b' };

describe('commits of a group member', () => {
  let stored: string[];
  let owned: Set<Lane>;
  let fails: number;
  /** Called within a request. */
  let meanwhile: () => void;
  let commits: Commits<Lane>;
  beforeEach(() => {
    stored = [];
    owned = new Set([A, B]);
    fails = 0;
    meanwhile = () => {};
    commits = new Commits({
      log: silentLogger(),
      store: async (offsets) => {
        meanwhile();
        await Promise.resolve();
        if ((fails -= 1) >= 0) throw new Error('away');
        stored.push(offsets.map(({ lane, offset }) => `${lane.name}${offset}`).join(' '));
      },
      current: (lane) => owned.has(lane),
    });
  });

  test('go together, the newest of each partition', async () => {
    await Promise.all([
      commits.commit(A, 1),
      commits.commit(B, 7),
      commits.commit(A, 3),
      commits.commit(A, 2),
    ]);
    expect(stored).toEqual(['a3 b7']);
    await commits.idle();
  });

  test('that come while one is on its way take the next turn', async () => {
    let later: Promise<void> | undefined;
    meanwhile = () => {
      later ??= commits.commit(A, 2);
    };
    await commits.commit(A, 1);
    await later;
    expect(stored).toEqual(['a1', 'a2']);
  });

  test('that come just as an earlier one is stored are stored as well', async () => {
    await commits.commit(A, 1).then(() => commits.commit(A, 2));
    expect(stored).toEqual(['a1', 'a2']);
  });

  test('are repeated until they are stored', async () => {
    fails = 1;
    await commits.commit(A, 1);
    expect(stored).toEqual(['a1']);
  });

  test('of a partition that is lost are not, and nobody waits for them', async () => {
    meanwhile = () => owned.delete(A);
    fails = 1;
    await Promise.all([commits.commit(A, 1), commits.commit(B, 1)]);
    expect(stored).toEqual(['b1']);
  });
});
