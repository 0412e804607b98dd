import { describe, expect, test } from '@jest/globals';

import { collapsedByOf, collapseIdOf, isCollapsed } from './collapse.js';
import { key, type ShardFixture } from './contract-fixture.js';

const [ALL] = collapsedByOf({ operation: 4, keys: [], collapseKey: 'k' }) as [string];

/** What is known of entries with a collapse key. */
export function collapseContract(fixture: () => ShardFixture): void {
  describe('collapse keys', () => {
    const newest = async (shard: ShardFixture, stream: string, ...ids: string[]) => {
      const [found] = await shard.streams.collapsed(shard.epoch, [{ stream, ids }]);
      return found && { trimmed: found.trimmed, newest: Object.fromEntries(found.newest) };
    };

    test('and retentions are kept with the entry, and remove nothing', async () => {
      const shard = await fixture().begin();
      const [one, many] = [shard.stream(), shard.stream()];
      const options = { collapseKey: 'k ü\n', retentionMs: 2 ** 50 };
      await shard.append([
        shard.push(1, [one], options),
        shard.push(2, [one, many], { ...options, body: Buffer.alloc(5_000) }),
      ]);
      expect((await shard.read(one)).entries).toMatchObject([options, options]);
      expect((await shard.read(many)).entries).toMatchObject([options]);
      expect((await shard.scan()).entries.map(({ entry }) => entry)).toMatchObject([
        options,
        options,
        options,
      ]);
    });

    test('tell the newest entry by stream, operation, key and devices', async () => {
      const shard = await fixture().begin();
      const [a, b] = [shard.stream(), shard.stream()];
      const web = { stream: a, keys: [key('web'), key('app')] };
      await shard.append([
        shard.push(1, [a, b], { collapseKey: 'k' }),
        shard.push(2, [a], { collapseKey: 'k' }),
        shard.push(3, [a], { collapseKey: 'other' }),
        shard.push(4, [a], { collapseKey: 'k', operation: 5 }),
        shard.push(5, [web], { collapseKey: 'k' }),
        shard.push(6, [a]),
      ]);
      const forWeb = collapseIdOf({ operation: 4, keys: [key('app'), key('web')], collapseKey: 'k' })!;
      expect(await newest(shard, a, ALL, forWeb, 'unknown')).toEqual({
        trimmed: -1,
        newest: { [ALL]: 2, [forWeb]: 5 },
      });
      expect(await newest(shard, b, ALL, forWeb)).toMatchObject({ newest: { [ALL]: 1 } });
      const [first, second] = await shard.streams.collapsed(shard.epoch, [
        { stream: b, ids: [ALL] },
        { stream: a, ids: [forWeb] },
      ]);
      expect([first?.newest.get(ALL), second?.newest.get(forWeb)]).toEqual([1, 5]);
    });

    test('are forgotten with the entry, when it is trimmed', async () => {
      const shard = await fixture().begin();
      const [a, b] = [shard.stream(), shard.stream()];
      await shard.append([
        shard.push(1, [a, b], { collapseKey: 'k' }),
        shard.push(2, [b]),
        shard.push(3, [b], { collapseKey: 'k' }),
        shard.push(4, [a]),
      ]);
      await shard.trim(2);
      expect(await newest(shard, a, ALL)).toEqual({ trimmed: 2, newest: {} });
      expect(await newest(shard, b, ALL)).toEqual({ trimmed: 2, newest: { [ALL]: 3 } });
      await shard.trim(4);
      expect(await newest(shard, b, ALL)).toEqual({ trimmed: 4, newest: {} });
    });

    test('of pushes that had been taken in before change nothing', async () => {
      const shard = await fixture().begin();
      const a = shard.stream();
      const batch = [
        shard.push(1, [a], { collapseKey: 'k' }),
        shard.push(2, [a], { collapseKey: 'k', id: 'two' }),
      ];
      await shard.append(batch);
      await shard.offer(-1, 1, batch.slice(0, 1));
      await shard.append([shard.push(3, [a], { collapseKey: 'k', id: 'two', digest: batch[1]!.digest })]);
      expect(await newest(shard, a, ALL)).toMatchObject({ newest: { [ALL]: 2 } });
    });

    test('of a shard that is empty, or of another epoch, are not known', async () => {
      const shard = fixture();
      const stream = shard.stream();
      expect(await newest(shard, stream, ALL)).toBeUndefined();
      await shard.begin(7);
      expect(await newest(shard, stream, ALL)).toEqual({ trimmed: 7, newest: {} });
      await shard.append([shard.push(8, [stream], { collapseKey: 'k' })]);
      const later = fixture();
      expect(await newest(later, stream, ALL)).toBeUndefined();
      await later.begin();
      expect(await newest(later, stream, ALL)).toEqual({ trimmed: -1, newest: {} });
    });
  });

  test('an entry is collapsed by a newer one for its devices or for all, never by one for others', () => {
    const entry = { operation: 4, collapseKey: 'k', keys: [] as never[], position: 3 };
    const web = { ...entry, keys: [key('web')] };
    const app = { ...entry, keys: [key('app')] };
    const at = (other: Parameters<typeof collapseIdOf>[0], position: number) =>
      new Map([[collapseIdOf(other)!, position]]);
    expect(isCollapsed(entry, at(entry, 4))).toBe(true);
    expect(isCollapsed(entry, at(entry, 3))).toBe(false);
    expect(isCollapsed(web, at(entry, 4))).toBe(true);
    expect(isCollapsed(web, at(web, 4))).toBe(true);
    expect(isCollapsed(entry, at(web, 4))).toBe(false);
    expect(isCollapsed(app, at(web, 4))).toBe(false);
    expect(isCollapsed({ ...entry, operation: 5 }, at(entry, 4))).toBe(false);
    expect(collapseIdOf({ ...entry, collapseKey: '' })).toBeUndefined();
    expect(collapsedByOf({ operation: 4, keys: [] })).toEqual([]);
  });
}
