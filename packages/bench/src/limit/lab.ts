import { availableParallelism } from 'node:os';

import type { ClusterFile } from '../faults/cluster-file.js';
import { Bench, type BenchDeps } from '../scenario/bench.js';
import { type BenchOptions, DEFAULTS } from '../scenario/options.js';
import type { LoadResult, TierResult } from '../scenario/result.js';
import { loadWarnings } from '../scenario/verdict.js';
import type { Bare } from './bare/chain.js';
import { joinComet, type JoinedComet } from './joined-comet.js';
import { layOut, letGo, type Pin, SERVER_CORE } from './pin.js';

/** How long, and how often. */
export interface LimitScale {
  readonly rounds: number;
  /** Of one measurement in a round, and of pushing before the first. */
  readonly durationMs: number;
  readonly warmupMs: number;
  /** Of pushing through all tiers before a row that depends on optimised code: V8 needs thousands of pushes for it. */
  readonly warmPushMs: number;
  /** Before memory is read. */
  readonly settleMs: number;
  /** How often a fresh comet is measured, and how often all connections are made. */
  readonly freshRounds: number;
}

export const FULL: LimitScale = {
  rounds: 5,
  durationMs: 4_000,
  warmupMs: 3_000,
  warmPushMs: 10_000,
  settleMs: 5_000,
  freshRounds: 3,
};
export const QUICK: LimitScale = {
  rounds: 1,
  durationMs: 2_000,
  warmupMs: 1_000,
  warmPushMs: 10_000,
  settleMs: 2_000,
  freshRounds: 1,
};

export interface LabDeps extends BenchDeps {
  readonly file: ClusterFile;
  /** Runs `halley`: for comets that join. */
  readonly command: readonly string[];
  /** Undefined: nothing is bound to a core. */
  readonly pin: Pin | undefined;
  readonly scale: LimitScale;
}

/** Who has core 0: comet alone, or all tiers. Everybody else, the load side too, has core 1. */
export type Layout = 'comet' | 'tiers';

const TIERS = ['comet', 'logic', 'job'];

/** Where rows are measured: a cluster, fresh comets, cores. */
export class Lab {
  /** What is against the figures. */
  readonly warnings = new Set<string>();

  constructor(readonly deps: LabDeps) {}

  /** Looks whether the load side had processor left: all of it shares a core. */
  watch(what: string, load: LoadResult): void {
    const cores = this.deps.pin ? 1 : availableParallelism();
    for (const warning of loadWarnings(load, { processes: 1, cores }))
      this.warnings.add(`${what}: ${warning}`);
  }

  /** A fresh comet for one row, ended behind it. */
  async withComet<Result>(layout: Layout, use: (comet: JoinedComet) => Promise<Result>): Promise<Result> {
    const { file, command } = this.deps;
    const comet = await joinComet(file, command);
    try {
      await this.#layOut(layout, comet);
      return await use(comet);
    } finally {
      await comet.stop();
    }
  }

  /** The bare chain, or a bare comet alone, where the server is; ended behind it. Undefined where it cannot be started. */
  async withBare<Result>(
    start: () => Promise<Bare>,
    use: (bare: Bare | undefined) => Promise<Result>,
  ): Promise<Result> {
    const bare = await start().catch((error: unknown) => {
      this.warnings.add(`nothing bare to hold it against: ${(error as Error).message}`);
      return undefined;
    });
    try {
      for (const pid of bare?.pids ?? []) await this.pinAsServer(pid);
      return await use(bare);
    } finally {
      await bare?.stop();
    }
  }

  /** A run at this comet. Whoever makes it ends it. */
  bench(
    comet: Pick<JoinedComet, 'target'>,
    options: Partial<BenchOptions> & Pick<BenchOptions, 'connections'>,
  ): Bench {
    return new Bench(
      {
        ...DEFAULTS,
        scenario: 'room',
        target: comet.target,
        rooms: 1,
        via: 'batch',
        batch: 1_024,
        perSecond: 0,
        durationMs: this.deps.scale.durationMs,
        ...options,
      },
      this.deps,
    );
  }

  /** Puts a process that is held against the server where the server is. */
  async pinAsServer(pid: number): Promise<void> {
    await this.deps.pin?.pin(pid, SERVER_CORE);
  }

  /** Lets go of every core. */
  async close(): Promise<void> {
    const { pin, file } = this.deps;
    if (pin) await letGo(pin, file);
  }

  async #layOut(layout: Layout, comet: JoinedComet): Promise<void> {
    const { pin, file } = this.deps;
    if (!pin) return;
    await layOut(pin, file, (tier) => layout === 'tiers' && TIERS.includes(tier));
    await pin.pin(comet.pid, SERVER_CORE);
  }
}

/** What the comet took for a delivered message, in µs. */
export function cometMicros(tiers: readonly TierResult[]): number {
  return tiers.find(({ tier }) => tier === 'comet')?.microsPerDelivered ?? Number.NaN;
}
