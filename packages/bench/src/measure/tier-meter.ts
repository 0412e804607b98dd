import { type ProcessStat, readProcess } from './process-stat.js';

/** A process of the server, or a service that it runs on. */
export interface MeasuredProcess {
  /** As `comet`, or `comet+logic+job` where they are one process; of a service its name. */
  readonly tier: string;
  readonly pid: number;
}

/** What the processes of one tier took in a while, together. */
export interface TierUse {
  readonly tier: string;
  readonly processes: number;
  readonly cpuMs: number;
  /** Resident memory at the end of it. */
  readonly rssBytes: number;
  readonly anonymousBytes: number;
}

/** All processes at one moment. */
export interface Reading {
  readonly atMs: number;
  readonly byPid: ReadonlyMap<number, ProcessStat>;
}

/** Reads what tiers take of the machine, from /proc. */
export class TierMeter {
  constructor(
    readonly processes: readonly MeasuredProcess[],
    private readonly read: (pid: number) => Promise<ProcessStat | undefined> = readProcess,
  ) {}

  async reading(): Promise<Reading> {
    const found = await Promise.all(
      this.processes.map(async ({ pid }) => [pid, await this.read(pid)] as const),
    );
    return {
      atMs: performance.now(),
      byPid: new Map(found.flatMap(([pid, stat]) => (stat ? [[pid, stat] as const] : []))),
    };
  }

  /** What each tier took between two readings; a process that is missing in one of them is left out. */
  between(from: Reading, to: Reading): TierUse[] {
    const tiers = [...new Set(this.processes.map(({ tier }) => tier))];
    return tiers.flatMap((tier) => {
      const pairs = this.processes
        .filter((one) => one.tier === tier)
        .flatMap(({ pid }) => {
          const [before, after] = [from.byPid.get(pid), to.byPid.get(pid)];
          return before && after ? [{ before, after }] : [];
        });
      if (pairs.length === 0) return [];
      const sum = (of: (pair: (typeof pairs)[number]) => number): number =>
        pairs.reduce((total, pair) => total + of(pair), 0);
      return [
        {
          tier,
          processes: pairs.length,
          cpuMs: sum(({ before, after }) => after.cpuMs - before.cpuMs),
          rssBytes: sum(({ after }) => after.rssBytes),
          anonymousBytes: sum(({ after }) => after.anonymousBytes),
        },
      ];
    });
  }
}
