import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { ConnectionKey } from '@halley/protocol/ids';
import { shardOf } from '@halley/store/shard';
import { collapsedByOf } from '@halley/store/streams/collapse';
import { BEFORE_ALL, type Position } from '@halley/store/streams/streams';
import fc from 'fast-check';

import { EPOCH, filledStores, SHARDS, type FilledStores, type FilledWith } from '../testing/filled-stores.js';
import { HistoryReader } from './history.js';
import { StreamReader } from './read.js';

const stream = 'u/1';
const shard = shardOf(stream, SHARDS);
const key = (text: string): ConnectionKey => text as ConnectionKey;

let stores: FilledStores;
let reader: StreamReader;
let now: number;
let leftOut: string[];

beforeEach(async () => {
  stores = await filledStores();
  now = 2_000;
  leftOut = [];
  const clock = { now: () => now, monotonicMs: () => now };
  reader = new StreamReader({
    ...stores,
    shards: SHARDS,
    epoch: () => EPOCH,
    clock,
    onLeftOut: (of, { position }, why) => leftOut.push(`${of} ${position} ${why}`),
  });
});
afterEach(() => stores.stop());

const put = (at: readonly Position[], fields: FilledWith = {}) =>
  stores.append(stream, at, at.at(-1)!, fields);
const read = async (after: Position = BEFORE_ALL, maxEntries = 0) => {
  const [page] = await reader.read([{ stream, epoch: EPOCH, after, maxEntries, maxBytes: 0 }]);
  const { entries, through, more, gap } = page!;
  return { positions: entries.map(({ position }) => position), through, more, ...(gap && { gap }) };
};
const history = async () => {
  const clock = { now: () => now, monotonicMs: () => now };
  const of = new HistoryReader({ ...stores, shards: SHARDS, epoch: () => EPOCH, clock });
  const { entries } = await of.read({ stream, direction: 'forward', maxEntries: 1_000 });
  return entries.map(({ position }) => position);
};
const k = { collapseKey: 'k' };

describe('of entries with the same collapse key', () => {
  test('the newest alone is shown, the page goes over the others, and history has them all', async () => {
    await put([1, 2], k);
    await put([3]);
    await put([4], k);
    expect(await read()).toEqual({ positions: [3, 4], through: 4, more: false });
    expect(leftOut).toEqual(['u/1 1 collapsed', 'u/1 2 collapsed']);
    expect(await read(1)).toEqual({ positions: [3, 4], through: 4, more: false });
    expect(await read(3)).toEqual({ positions: [4], through: 4, more: false });
    expect(await history()).toEqual([1, 2, 3, 4]);
  });

  test.each([
    ['in the hot part', BEFORE_ALL],
    ['where the older ones are archived', 2],
    ['in the archive', 5],
  ])('the newest may be beyond the page, %s', async (_where, archived) => {
    await put([1, 2], k);
    await put([3]);
    await put([4], k);
    await put([5]);
    await stores.archiveTo(shard, archived);
    expect(await read(BEFORE_ALL, 1)).toEqual({ positions: [3], through: 3, more: true });
    expect(await read(1, 2)).toEqual({ positions: [3], through: 3, more: true });
    expect(await read(3, 1)).toEqual({ positions: [4], through: 4, more: true });
  });

  test('the newest may be archived and not trimmed yet, or trimmed between two looks', async () => {
    await put([1], k);
    await put([2, 3]);
    await put([4], k);
    await stores.storeTo(shard, 4);
    expect((await read(BEFORE_ALL, 1)).positions).toEqual([2]);
    const collapsed = stores.streams.collapsed.bind(stores.streams);
    stores.streams.collapsed = async (...asked) => {
      await stores.archiveTo(shard, 4);
      return collapsed(...asked);
    };
    expect((await read(BEFORE_ALL, 2)).positions).toEqual([2]);
  });

  test('those of other operations and for other devices are others', async () => {
    await put([1], k);
    await put([2], { ...k, keys: [key('web')] });
    await put([3], { ...k, keys: [key('app')] });
    await put([4], { ...k, keys: [key('web')] });
    expect((await read()).positions).toEqual([1, 3, 4]);
    await put([5], k);
    expect((await read()).positions).toEqual([5]);
  });

  test('one that is over is not shown, nor what it took the place of', async () => {
    await put([1], k);
    await put([2], { ...k, expireAtMs: 2_500 });
    expect((await read()).positions).toEqual([2]);
    now = 2_500;
    expect(await read()).toEqual({ positions: [], through: 2, more: false });
    expect(await history()).toEqual([1]);
  });

  test('what comes to stand within the page while it is read hides nothing: nobody would be shown it', async () => {
    await put([1, 2], k);
    await stores.append(stream, [3], 9);
    const collapsed = stores.streams.collapsed.bind(stores.streams);
    stores.streams.collapsed = async (...asked) => {
      // A shard that was lost and filled again knows a repeat as a push of its own.
      const found = await collapsed(...asked);
      return found.map((one, at) => one && { ...one, newest: new Map([[asked[1][at]!.ids[0]!, 5]]) });
    };
    expect(await read()).toEqual({ positions: [2, 3], through: 9, more: false });
    // Beyond the page it is one that comes.
    expect((await read(BEFORE_ALL, 1)).positions).toEqual([3]);
  });

  test('a shard that is lost hides nothing but what the archive knows a newer one of', async () => {
    await put([1, 2], k);
    await put([3], k);
    await stores.archiveTo(shard, 2);
    stores.streams.read = async (_epoch, queries) => queries.map(() => undefined);
    stores.streams.collapsed = async (_epoch, queries) => queries.map(() => undefined);
    expect(await read()).toEqual({ positions: [2], through: 2, more: false });
  });
});

test('what has expired, or was kept as long as it was to be, is shown nowhere', async () => {
  await put([1], { expireAtMs: 2_100 });
  await put([2], { acceptedAtMs: () => 1_000, retentionMs: 1_100 });
  await put([3], { acceptedAtMs: () => 1_000, retentionMs: 1_101 });
  for (const archived of [BEFORE_ALL, 2, 3]) {
    await stores.archiveTo(shard, archived);
    now = 2_099;
    expect([(await read()).positions, await history()]).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    leftOut = [];
    now = 2_100;
    expect([await read(), await history()]).toEqual([{ positions: [3], through: 3, more: false }, [3]]);
    expect(leftOut).toEqual(['u/1 1 expired', 'u/1 2 retention']);
  }
});

test('a long run of what is not shown is passed over in a few reads, and one for others does not wait for it', async () => {
  await put(
    Array.from({ length: 60 }, (_, at) => at),
    k,
  );
  await put([60]);
  expect(await read(BEFORE_ALL, 10)).toEqual({ positions: [59], through: 59, more: true });
  const far = await read(BEFORE_ALL, 2);
  expect(far).toEqual({ positions: [], through: 15, more: true });
  expect(await read(far.through, 50)).toMatchObject({ positions: [59, 60] });
});

const RUNS = Number(process.env['HALLEY_PROPERTY_RUNS'] ?? 40);

test('whatever is archived, trimmed or appended meanwhile, nobody misses what no newer one took the place of', async () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key: fc.nat(2), to: fc.nat(2) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constantFrom('archive' as const, 'store' as const), at: fc.nat(9) }),
    },
  );
  const devices = ['web', 'app'];
  let runs = 0;
  const property = fc.asyncProperty(
    fc.array(step, { maxLength: 14 }),
    fc.array(step, { maxLength: 6 }),
    fc.integer({ min: 1, max: 4 }),
    async (before, meanwhile, maxEntries) => {
      runs += 1;
      const name = `u/${runs * 7_919}`;
      const at = shardOf(name, SHARDS);
      const appended: { position: number; keys: readonly ConnectionKey[]; collapseKey: string }[] = [];
      let position = (await stores.streams.state(at, EPOCH))?.applied ?? BEFORE_ALL;
      const run = async (one: (typeof before)[number]) => {
        if (one.kind === 'put') {
          position += 1;
          const keys = one.to === 2 ? [] : [key(devices[one.to]!)];
          const collapseKey = ['', 'a', 'b'][one.key]!;
          appended.push({ position, keys, collapseKey });
          await stores.append(name, [position], position, { keys, collapseKey });
        } else {
          const through = position - one.at;
          if (one.kind === 'archive') await stores.archiveTo(at, through);
          else await stores.storeTo(at, through);
        }
      };
      for (const one of before) await run(one);
      const rest = [...meanwhile];
      const between = async () => {
        const next = rest.shift();
        if (next) await run(next);
      };
      const { streams, archive } = stores;
      const racing = new StreamReader({
        streams: {
          read: async (...asked) => between().then(() => streams.read(...asked)),
          collapsed: async (...asked) => between().then(() => streams.collapsed(...asked)),
        },
        archive: {
          read: async (...asked) => between().then(() => archive.read(...asked)),
          watermark: (...asked) => archive.watermark(...asked),
          collapsed: async (...asked) => between().then(() => archive.collapsed(...asked)),
        },
        shards: SHARDS,
        epoch: () => EPOCH,
        clock: { now: () => now, monotonicMs: () => now },
      });
      const shown: Position[] = [];
      for (let after = BEFORE_ALL; ;) {
        const [page] = await racing.read([{ stream: name, epoch: EPOCH, after, maxEntries, maxBytes: 0 }]);
        shown.push(...page!.entries.map((entry) => entry.position));
        after = page!.through;
        if (page!.more) continue;
        if (rest.length === 0 && after >= (appended.at(-1)?.position ?? BEFORE_ALL)) break;
        await between();
      }
      const ids = (entry: (typeof appended)[number]) => collapsedByOf({ operation: 1_000, ...entry });
      for (const entry of appended) {
        const newer = appended.some(
          (other) => other.position > entry.position && ids(entry).includes(ids(other).at(-1) ?? '-'),
        );
        if (!newer) expect(shown).toContain(entry.position);
      }
      expect(shown).toEqual([...new Set(shown)].sort((a, b) => a - b));
    },
  );
  await fc.assert(property, { numRuns: RUNS });
}, 60_000);
