import { build, type Histogram } from 'hdr-histogram-js';

/** Percentiles of times, in milliseconds. */
export interface LatencySummary {
  readonly count: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

/** A point of the curve of percentiles. */
export interface PercentilePoint {
  /** 0 to 100. */
  readonly percentile: number;
  readonly ms: number;
}

const HIGHEST_NS = 60e9;
const PLOTTED = [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100];

/** For times in nanoseconds up to a minute and more, to 3 digits. */
export function latencyHistogram(): Histogram {
  return build({
    bitBucketSize: 32,
    autoResize: true,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_NS,
    numberOfSignificantValueDigits: 3,
  });
}

export function summaryOf(histogram: Histogram): LatencySummary {
  const at = (percentile: number): number => msAt(histogram, percentile);
  return {
    count: histogram.totalCount,
    p50Ms: at(50),
    p90Ms: at(90),
    p99Ms: at(99),
    p999Ms: at(99.9),
    maxMs: histogram.totalCount === 0 ? 0 : histogram.maxValue / 1e6,
  };
}

/** For a plot; empty without times. */
export function percentilesOf(histogram: Histogram): PercentilePoint[] {
  if (histogram.totalCount === 0) return [];
  // What so few times cannot tell is left out.
  const last = 100 - 100 / histogram.totalCount;
  return PLOTTED.filter((percentile) => percentile <= last || percentile === 100).map((percentile) => ({
    percentile,
    ms: msAt(histogram, percentile),
  }));
}

function msAt(histogram: Histogram, percentile: number): number {
  return histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(percentile) / 1e6;
}
