import type { BenchTarget } from './target.js';

/** Ways for pushes into the server. */
export const VIAS = ['goim', 'comet', 'push', 'batch', 'v1', 'v1-batch'] as const;
export type Via = (typeof VIAS)[number];

export const SCENARIOS = ['connect', 'idle', 'room', 'users', 'mixed', 'ramp', 'soak'] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

export const TRANSPORTS = ['tcp', 'ws', 'both'] as const;
export type BenchTransport = (typeof TRANSPORTS)[number];

/** What is measured, and how. Times are in milliseconds. */
export interface BenchOptions {
  readonly scenario: ScenarioName;
  readonly target: BenchTarget;
  readonly transport: BenchTransport;
  /** Of the client protocol. */
  readonly version: 1 | 2;
  readonly connections: number;
  /** Rooms that the connections are in, in turn. */
  readonly rooms: number;
  /** Type of the rooms; default one of this run's own. */
  readonly roomType?: string;
  /** Connections begun a second, 0: as fast as it goes; and handshakes under way at most. */
  readonly connectPerSecond: number;
  readonly atOnce: number;
  readonly heartbeatMs: number;
  /** Reader processes, and what they are; see `LoadPlan`. */
  readonly processes: number;
  readonly native?: boolean;
  readonly sources?: readonly string[];
  readonly via: Via;
  /** Pushes in one call, at most. */
  readonly batch: number;
  /** Callers that push at once; a room's or user's pushes are all of one, which waits for its answer before its next call. */
  readonly callers: number;
  /** Calls of one caller under way; above 1 order is not judged. */
  readonly inFlight: number;
  /** Pushes a second; 0: each caller pushes again as soon as it has its answer. */
  readonly perSecond: number;
  readonly durationMs: number;
  readonly warmupMs: number;
  /** At the end, what is missing is waited for so long after the last message came. In `idle` and `ramp` also before memory is read. */
  readonly settleMs: number;
  readonly bodyBytes: number;
  readonly operation: number;
  /** Of 100 pushes of `mixed` and `soak`, those to rooms. */
  readonly roomPercent: number;
  /** Of `connect`: how often all connections are dropped and made again. */
  readonly rounds: number;
  readonly apiKey?: string;
}

/** What holds unless it is told otherwise. */
export const DEFAULTS = {
  transport: 'tcp',
  version: 1,
  connectPerSecond: 0,
  atOnce: 256,
  heartbeatMs: 120_000,
  processes: 1,
  callers: 32,
  inFlight: 1,
  warmupMs: 2_000,
  settleMs: 3_000,
  bodyBytes: 100,
  operation: 1_000,
  roomPercent: 10,
  rounds: 1,
} as const satisfies Partial<BenchOptions>;

/** What each scenario takes unless it is told otherwise. */
export const SCENARIO_DEFAULTS = {
  connect: { connections: 10_000, rooms: 1, perSecond: 0, durationMs: 0 },
  idle: { connections: 10_000, rooms: 1, perSecond: 0, durationMs: 10_000 },
  room: { connections: 1_000, rooms: 1, perSecond: 40, durationMs: 10_000 },
  users: { connections: 1_000, rooms: 0, perSecond: 1_000, durationMs: 10_000 },
  mixed: { connections: 1_000, rooms: 20, perSecond: 500, durationMs: 10_000 },
  ramp: { connections: 0, rooms: 1, perSecond: 20_000, durationMs: 5_000 },
  soak: { connections: 2_000, rooms: 20, perSecond: 200, durationMs: 600_000 },
} as const satisfies Readonly<Record<ScenarioName, Partial<BenchOptions>>>;
