import type { CheckOutcome } from '../check/run.js';
import { isPassed, transportsLine, verdictLine } from './summary.js';

/** What `halley check --json` prints, and what stands in the report: everything but the log itself. */
export function resultJson(outcome: CheckOutcome, against: string): object {
  const { seed, run, startedAt, schedule, log, verdict, troubles, pushedUntilMs, endMs, heldBack, memory } =
    outcome;
  return {
    passed: isPassed(outcome),
    verdict: verdictLine(outcome),
    seed,
    run,
    against,
    startedAt,
    pushedUntilMs: Math.round(pushedUntilMs),
    endMs: Math.round(endMs),
    violations: verdict.violations,
    readers: verdict.readers,
    memory,
    counts: { ...verdict.counts, longestSilenceMs: Math.round(verdict.counts.longestSilenceMs) },
    terms: verdict.terms,
    transports: transportsLine(outcome),
    heldBack,
    devices: log.devices.length,
    reconnects: log.devices.reduce(
      (total, { connections }) => total + Math.max(0, connections.length - 1),
      0,
    ),
    troubles,
    examples: verdict.examples,
    refusals: reasons(outcome, 'refused'),
    doubts: reasons(outcome, 'unknown'),
    schedule,
    faults: log.faults,
    silences: verdict.silences.slice(0, 20),
  };
}

/** How often each reason was given for an outcome, the most frequent first. */
export function reasons({ log }: CheckOutcome, outcome: 'refused' | 'unknown'): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { outcome: one, why = '' } of log.pushes)
    if (one === outcome) counts.set(why, (counts.get(why) ?? 0) + 1);
  return Object.fromEntries([...counts].toSorted(([, a], [, b]) => b - a).slice(0, 20));
}
