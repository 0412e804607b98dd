import { build, type Histogram } from 'hdr-histogram-js';

import type { Counts } from './lines.js';

/** What is longer counts as this, in nanoseconds. */
export const MAX_LATENCY_NS = 60e9;
const EXACT = 2048;
const HALF = 1024;
const BUCKETS = 27 * HALF;

/**
 * Counts of nanoseconds, exact to three digits: in the buckets of HdrHistogram, and of the native worker, so that they go
 * from one to the other without loss.
 */
export class LatencyCounts {
  #counts = new Float64Array(BUCKETS);

  record(ns: number): void {
    const bucket = bucketOf(Math.min(Math.max(Math.floor(ns), 1), MAX_LATENCY_NS));
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
  }

  /** What was counted; it begins anew. */
  take(): Counts {
    const taken: [number, number][] = [];
    for (const [bucket, count] of this.#counts.entries()) if (count > 0) taken.push([valueOf(bucket), count]);
    this.#counts.fill(0);
    return taken;
  }
}

/** One histogram of several counts: nanoseconds up to 60 s, three digits. */
export function histogramOf(counts: readonly Counts[]): Histogram {
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: MAX_LATENCY_NS,
    numberOfSignificantValueDigits: 3,
  });
  for (const [valueNs, count] of counts.flat()) histogram.recordValueWithCount(valueNs, count);
  return histogram;
}

/** 2,048 buckets of one nanosecond, then 1,024 for each power of two. */
function bucketOf(ns: number): number {
  if (ns < EXACT) return ns;
  const bits = ns < 2 ** 31 ? 31 - Math.clz32(ns) : 47 - Math.clz32(ns / 2 ** 16);
  const shift = bits - 10;
  return shift * HALF + Math.floor(ns / 2 ** shift);
}

function valueOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const shift = Math.floor(bucket / HALF) - 1;
  return (bucket - shift * HALF) * 2 ** shift;
}
