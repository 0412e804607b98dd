import { reasonName } from './close-reason.js';
import { histogramOf } from './latency-counts.js';
import type { ConnectedReport, Reasons, SampleCounts, SampleReport } from './lines.js';
import type { ConnectOutcome, LoadSample } from './load-side.js';

const NS_PER_MS = 1_000_000;

/** The outcome of all workers as one. */
export function outcomeOf(reports: readonly ConnectedReport[]): ConnectOutcome {
  const began = reports.map(({ beganNs }) => BigInt(beganNs)).reduce(smaller);
  const ended = reports.map(({ endedNs }) => BigInt(endedNs)).reduce(larger);
  return {
    connected: sum(reports.map(({ connected }) => connected)),
    failed: byName(reports.map(({ failed }) => failed)),
    retried: byName(reports.map(({ retried }) => retried)),
    elapsedMs: Number(ended - began) / NS_PER_MS,
    latency: histogramOf(reports.map(({ latency }) => latency)),
  };
}

/** The samples of all workers as one. */
export function sampleOf(reports: readonly SampleReport[]): LoadSample {
  const total = (name: keyof SampleCounts): number => sum(reports.map((report) => report[name]));
  return {
    delivered: total('delivered'),
    bytes: total('bytes'),
    latency: histogramOf(reports.map(({ latency }) => latency)),
    outOfOrder: total('outOfOrder'),
    repeated: total('repeated'),
    missing: total('missing'),
    strays: total('strays'),
    foreign: total('foreign'),
    heartbeats: total('heartbeats'),
    closed: byName(reports.map(({ closed }) => closed)),
    open: total('open'),
    cpuMs: total('cpuMs'),
    lastAtNs: reports.map(({ lastAtNs }) => BigInt(lastAtNs)).reduce(larger),
  };
}

function byName(all: readonly Reasons[]): ReadonlyMap<string, number> {
  const names = new Map<string, number>();
  for (const [reason, count] of all.flat()) {
    const name = reasonName(reason);
    names.set(name, (names.get(name) ?? 0) + count);
  }
  return names;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
