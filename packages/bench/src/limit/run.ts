import { availableParallelism, loadavg } from 'node:os';

import { measureFanOut, kernelRow } from './fan-out.js';
import { connectRows } from './connect-rows.js';
import { Lab, type LabDeps } from './lab.js';
import { memoryRows } from './memory-rows.js';
import { mostRow } from './most-row.js';
import { largeRoomRows } from './room-rows.js';
import { type LimitRow, median, ratios, rowOf, times } from './row.js';
import { userRows } from './user-rows.js';

/** Parts of the table, each of which can be measured alone. */
export const LIMIT_PARTS = ['fan-out', 'room', 'most', 'memory', 'users', 'connect'] as const;
export type LimitPart = (typeof LIMIT_PARTS)[number];

export interface LimitResult {
  readonly startedAt: string;
  readonly rounds: number;
  readonly isPinned: boolean;
  readonly rows: readonly LimitRow[];
  /** What is against the figures. */
  readonly warnings: readonly string[];
}

const SMALL = 1_000;
const LARGE = 10_000;
/** Just below the 20,000 descriptors that a process often has at most. */
const MOST = 19_000;

/** Measures the rows of the table, in one session. `onRow` is told each when it is there. */
export async function runLimit(
  deps: LabDeps,
  parts: readonly LimitPart[],
  onRow: (row: LimitRow) => void,
): Promise<LimitResult> {
  const startedAt = new Date().toISOString();
  const lab = new Lab(deps);
  const rows: LimitRow[] = [];
  const warnings = [...busyWarning(loadavg()[0] ?? 0, availableParallelism())];
  if (!deps.pin)
    warnings.push(
      'nothing is bound to a core (no taskset, or a single core): server and load get in each other’s way',
    );
  const add = (found: readonly LimitRow[]): void => {
    rows.push(...found);
    for (const row of found) onRow(row);
  };
  try {
    for (const part of parts) {
      if (deps.signal.aborted) break;
      // A row that cannot be measured does not cost the others.
      await rowsOf(lab, part).then(add, (error: unknown) => {
        warnings.push(`${part} was not measured: ${(error as Error).message}`);
      });
    }
    return {
      startedAt,
      rounds: deps.scale.rounds,
      isPinned: deps.pin !== undefined,
      rows,
      warnings: [...warnings, ...lab.warnings],
    };
  } finally {
    await lab.close();
  }
}

/** By the load of the last minute: what this run started before is below that. */
export function busyWarning(load: number, cores: number): string[] {
  if (load <= cores) return [];
  return [
    `the machine was busy with other work at the begin (load ${load.toFixed(1)} on ${cores} cores): times mean little, and ratios of them are rough`,
  ];
}

function rowsOf(lab: Lab, part: LimitPart): Promise<LimitRow[]> {
  switch (part) {
    case 'fan-out':
      return fanOutRows(lab);
    case 'room':
      return largeRoomRows(lab);
    case 'most':
      return mostRow(lab).then((row) => [row]);
    case 'memory':
      return memoryRows(lab);
    case 'users':
      return userRows(lab);
    case 'connect':
      return connectRows(lab);
  }
}

async function fanOutRows(lab: Lab): Promise<LimitRow[]> {
  const small = await measureFanOut(lab, SMALL, true);
  const large = await measureFanOut(lab, LARGE, false);
  const most = await measureFanOut(lab, MOST, false);
  const grown = (to: readonly number[], from: readonly number[]): number => median(to) / median(from);
  const [comet, kernel] = [grown(most.tcp, small.tcp), grown(most.kernel, small.kernel)];
  return [
    kernelRow(small, 1.25, '1.5×'),
    kernelRow(large, 1.15, '2.0×'),
    rowOf({
      what: 'WebSocket fan-out against TCP fan-out, comet CPU, 1,000 connections',
      goim: '1.05×',
      bound: 'most',
      limit: 1.1,
      rounds: ratios(small.websocket, small.tcp),
      text: times,
      faults: small.faults,
    }),
    rowOf({
      what: 'comet CPU a message from 1,000 to 19,000 connections, over the kernel’s own growth',
      goim: '1.7×',
      bound: 'most',
      limit: 1.3,
      rounds: [comet / kernel],
      text: times,
      note: `comet grew ${times(comet)}, C ${times(kernel)}`,
      faults: most.faults,
    }),
  ];
}
