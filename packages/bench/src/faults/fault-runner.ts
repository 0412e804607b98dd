import { setTimeout as sleep } from 'node:timers/promises';

import type { FaultSpan } from '../check/log.js';
import { CATALOGUE } from './catalogue.js';
import type { FaultTargets } from './fault.js';
import type { PlannedFault } from './schedule.js';

export interface FaultRunnerDeps {
  readonly targets: FaultTargets;
  /** Milliseconds since the check began. */
  readonly nowMs: () => number;
  /** Told when a fault is injected and when it is undone. */
  readonly onChange: (span: FaultSpan) => void;
}

/** Injects the planned faults one after the other and puts each right again, whatever happens. Resolves with what was done. */
export async function runFaults(
  schedule: readonly PlannedFault[],
  deps: FaultRunnerDeps,
  signal: AbortSignal,
): Promise<FaultSpan[]> {
  const spans: FaultSpan[] = [];
  for (const planned of schedule) {
    await sleep(Math.max(0, planned.atMs - deps.nowMs()), undefined, { signal }).catch(() => undefined);
    if (signal.aborted) break;
    spans.push(await runFault(planned, deps, signal));
  }
  return spans;
}

async function runFault(
  planned: PlannedFault,
  { targets, nowMs, onChange }: FaultRunnerDeps,
  signal: AbortSignal,
): Promise<FaultSpan> {
  const kind = CATALOGUE.find(({ name }) => name === planned.kind);
  if (!kind) throw new Error(`${planned.kind} is no fault`);
  const fault = kind.make(targets, planned.turn);
  const injected: FaultSpan = {
    name: fault.name,
    injectedAtMs: nowMs(),
    ...(fault.forgetsIds ? { forgetsIds: true } : {}),
  };
  onChange(injected);
  let trouble = '';
  try {
    await fault.inject();
    await sleep(planned.holdMs, undefined, { signal }).catch(() => undefined);
  } catch (error) {
    trouble = `could not be injected: ${String(error)}`;
  }
  try {
    await fault.heal();
  } catch (error) {
    trouble ||= `could not be undone: ${String(error)}`;
  }
  const span = { ...injected, healedAtMs: nowMs(), ...(trouble ? { trouble } : {}) };
  onChange(span);
  return span;
}
