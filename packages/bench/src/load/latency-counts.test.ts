import { describe, expect, it } from '@jest/globals';

import { histogramOf, LatencyCounts, MAX_LATENCY_NS } from './latency-counts.js';

describe('counts of latencies', () => {
  it('come in the buckets of the histogram: nothing is lost on the way', () => {
    const counts = new LatencyCounts();
    const direct = histogramOf([]);
    for (let ns = 1; ns < MAX_LATENCY_NS; ns = Math.ceil(ns * 1.37)) {
      counts.record(ns);
      direct.recordValue(ns);
    }
    const carried = histogramOf([counts.take()]);
    expect(carried.totalCount).toBe(direct.totalCount);
    for (const percentile of [0, 1, 10, 50, 90, 99, 100])
      expect(carried.getValueAtPercentile(percentile)).toBe(direct.getValueAtPercentile(percentile));
  });

  it('keep what is out of bounds at the bounds', () => {
    const counts = new LatencyCounts();
    counts.record(-5);
    counts.record(1e15);
    const [[least, one] = [], [most, other] = []] = counts.take();
    expect([least, one, other]).toEqual([1, 1, 1]);
    expect(most).toBeGreaterThan(MAX_LATENCY_NS * 0.999);
  });

  it('begin anew when taken', () => {
    const counts = new LatencyCounts();
    counts.record(2048);
    expect(counts.take()).toEqual([[2048, 1]]);
    expect(counts.take()).toEqual([]);
  });
});
