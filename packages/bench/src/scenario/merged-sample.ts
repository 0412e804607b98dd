import type { LoadSample } from '../load/load-side.js';
import { latencyHistogram } from '../measure/latency.js';
import { addReasons } from './tally.js';

/** What several load sides read, as one. */
export function mergedSample(samples: readonly LoadSample[]): LoadSample {
  const [only] = samples;
  if (only && samples.length === 1) return only;
  const latency = latencyHistogram();
  const closed = new Map<string, number>();
  for (const sample of samples) {
    latency.add(sample.latency);
    addReasons(closed, sample.closed);
  }
  const sum = (of: (sample: LoadSample) => number): number =>
    samples.reduce((total, sample) => total + of(sample), 0);
  return {
    delivered: sum(({ delivered }) => delivered),
    bytes: sum(({ bytes }) => bytes),
    latency,
    outOfOrder: sum(({ outOfOrder }) => outOfOrder),
    repeated: sum(({ repeated }) => repeated),
    missing: sum(({ missing }) => missing),
    strays: sum(({ strays }) => strays),
    foreign: sum(({ foreign }) => foreign),
    heartbeats: sum(({ heartbeats }) => heartbeats),
    closed,
    open: sum(({ open }) => open),
    cpuMs: sum(({ cpuMs }) => cpuMs),
    lastAtNs: samples.reduce((latest, { lastAtNs }) => (lastAtNs > latest ? lastAtNs : latest), 0n),
  };
}
