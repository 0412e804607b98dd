import type { LatencySummary, PercentilePoint } from '../measure/latency.js';
import type { ScenarioName } from './options.js';

/** What one tier, or a service, took. */
export interface TierResult {
  /** As `comet`, or `comet+logic+job` where they are one process. */
  readonly tier: string;
  readonly processes: number;
  /** Of one core. */
  readonly cpuPercent: number;
  readonly microsPerDelivered?: number;
  readonly microsPerPush?: number;
  readonly microsPerConnection?: number;
  readonly rssBytes: number;
  readonly bytesPerConnection?: number;
}

export interface ConnectResult {
  readonly connected: number;
  /** Reason → how many. */
  readonly failed: Readonly<Record<string, number>>;
  readonly retried: Readonly<Record<string, number>>;
  readonly elapsedMs: number;
  readonly perSecond: number;
  /** From the first attempt to the auth reply. */
  readonly latency: LatencySummary;
}

export interface TrafficResult {
  /** Due in the whole run, warm-up too; those that no call took before the end are `unsent`. */
  readonly due: number;
  readonly ok: number;
  readonly refused: number;
  readonly unknown: number;
  readonly unsent: number;
  /** Of what went wrong with pushes: text → how many calls. */
  readonly whys: Readonly<Record<string, number>>;
  /** Messages that had to come, of pushes that were answered OK; and those that came, each once. */
  readonly expected: number;
  readonly delivered: number;
  readonly lost: number;
  readonly outOfOrder: number;
  readonly repeated: number;
  readonly strays: number;
  /** Connections that the server ended. */
  readonly closed: Readonly<Record<string, number>>;
  /** Of the measured window. */
  readonly windowMs: number;
  readonly pushesPerSecond: number;
  readonly deliveredPerSecond: number;
  /** From when a push was due to when a member had it. */
  readonly latency: LatencySummary;
  readonly percentiles: readonly PercentilePoint[];
  /** From when a push was due to when its call was made: what of the latency is the bench's own. */
  readonly lateness: LatencySummary;
  /** From when a push was due to its OK. */
  readonly answers: LatencySummary;
  /** When the last message of all came, after the last push was due. */
  readonly lastAfterMs: number;
}

/** What the measuring itself took. */
export interface LoadResult {
  readonly kind: 'native' | 'node';
  readonly readersPercent: number;
  readonly pusherPercent: number;
}

/** One slice of the run. */
export interface BenchSample {
  readonly atMs: number;
  readonly connections: number;
  readonly deliveredPerSecond: number;
  readonly pushesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Tier → percent of a core. */
  readonly cpuPercent: Readonly<Record<string, number>>;
  /** Tier → resident bytes. */
  readonly rssBytes: Readonly<Record<string, number>>;
}

/** One number of connections of a ramp. */
export interface RampStep {
  readonly connections: number;
  readonly connectPerSecond: number;
  readonly traffic: TrafficResult;
  readonly tiers: readonly TierResult[];
  readonly load: LoadResult;
}

export interface BenchResult {
  readonly scenario: ScenarioName;
  readonly target: string;
  readonly startedAt: string;
  /** What was asked for, as a line each of name and value. */
  readonly settings: Readonly<Record<string, string>>;
  readonly connects: readonly ConnectResult[];
  readonly traffic?: TrafficResult;
  readonly steps?: readonly RampStep[];
  readonly tiers: readonly TierResult[];
  readonly load: LoadResult;
  readonly samples: readonly BenchSample[];
  /** What is against the server: lost, out of order, refused …; none is a pass. */
  readonly faults: readonly string[];
  /** What is against the figures. */
  readonly warnings: readonly string[];
}
