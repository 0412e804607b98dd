import { describe, expect, test } from '@jest/globals';

import { shardOf } from './shard.js';

describe('the shard of a stream', () => {
  test('is fixed for ever', () => {
    const streams = ['u/1', 'u/9007199254740993', 'r/live://1000', 'r/live://ünï', 'k/abc', 'all'];
    expect(streams.map((stream) => shardOf(stream, 24))).toEqual(SHARDS_OF_24);
  });

  test('spreads users evenly', () => {
    const counts = Array.from({ length: 24 }, () => 0);
    for (let mid = 0; mid < 24_000; mid += 1) counts[shardOf(`u/${mid}`, 24)]! += 1;
    expect(Math.min(...counts)).toBeGreaterThan(800);
    expect(Math.max(...counts)).toBeLessThan(1_200);
  });
});

const SHARDS_OF_24 = [18, 22, 22, 6, 13, 14];
