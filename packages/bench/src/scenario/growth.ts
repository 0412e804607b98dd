import type { BenchSample } from './result.js';

export interface MemoryGrowth {
  readonly tier: string;
  /** Of the line through all samples. */
  readonly bytesPerHour: number;
}

/** In the first quarter of a run memory still grows into what the load takes: that is no leak. */
const LEFT_OUT = 4;
const LEAST_SAMPLES = 8;
/** What memory does in a shorter time says nothing of an hour. */
const LEAST_MS = 120_000;
const HOUR_MS = 3_600_000;

/** By how much the memory of each tier changes with time; empty where the run was too short to tell. */
export function memoryGrowth(samples: readonly BenchSample[]): MemoryGrowth[] {
  const later = samples.slice(Math.floor(samples.length / LEFT_OUT));
  const [first, last] = [later[0]?.atMs ?? 0, later.at(-1)?.atMs ?? 0];
  if (later.length < LEAST_SAMPLES || last - first < LEAST_MS) return [];
  return Object.keys(later[0]?.rssBytes ?? {}).map((tier) => ({
    tier,
    bytesPerHour: HOUR_MS * slope(later.map(({ atMs, rssBytes }) => ({ x: atMs, y: rssBytes[tier] ?? 0 }))),
  }));
}

/** Of the line with the least squares. */
function slope(points: readonly { readonly x: number; readonly y: number }[]): number {
  const mean = (of: (point: { x: number; y: number }) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean((point) => point.x), mean((point) => point.y)];
  const spread = mean((point) => (point.x - x) ** 2);
  return spread === 0 ? 0 : mean((point) => (point.x - x) * (point.y - y)) / spread;
}
