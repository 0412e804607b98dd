import type { Faults } from './faults.js';
import type { Invariant } from './invariants.js';
import { runStep } from './schedule.js';
import { settle } from './settle.js';
import { World } from './world.js';

export interface RunOptions {
  readonly faults?: Faults;
  /** Ends only on these; by default on all. */
  readonly watched?: ReadonlySet<Invariant>;
  /** Filled with what the schedule's steps did. */
  readonly trace?: string[];
}

/** Runs a schedule from an empty cluster until all has settled; throws a `Violation` when an invariant breaks. */
export function runSchedule(schedule: readonly number[], { faults, watched, trace }: RunOptions = {}): void {
  const world = new World(faults, watched);
  for (const seed of schedule) runStep(world, seed, trace);
  trace?.push('faults end');
  settle(world);
}
