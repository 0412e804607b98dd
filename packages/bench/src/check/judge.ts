import type { CheckedStream, CheckLog, NumberedPush } from './log.js';
import { judgeDevice, type JudgedPushes } from './judge-device.js';
import { readersOf } from './readers.js';
import { silencesOf } from './silence.js';
import { countTerms } from './terms.js';
import { type Verdict, type Violation, type ViolationKind, VIOLATIONS } from './verdict.js';

const DEFAULT_EXAMPLES = 5;
/** Shorter waits are no silence. */
const SILENCE_MS = 200;
const LONGEST_SILENCES = 5_000;

export interface JudgeOptions {
  /** The moment up to which deliveries were awaited. */
  readonly endMs: number;
  /** How many of each kind are named. Default 5. */
  readonly examples?: number;
}

/**
 * Judges what was shown by what was pushed. To users: OK appears on each device, refused never, unknown at most once, in the order of
 * the numbers; nothing before its time, after its expiry, or when it was cancelled. To rooms and everyone: no more than was pushed, in order; what a device missed is counted as dropped.
 */
export function judge(log: CheckLog, options: JudgeOptions): Verdict {
  const pushes = byStream(log);
  const judged = log.devices.map((device) =>
    judgeDevice(device, { pushes, faults: log.faults, endMs: options.endMs }),
  );
  const all = judged.flatMap(({ violations }) => violations);
  const silences = judged
    .flatMap(({ device, waits }) => silencesOf(device.name, waits, options.endMs, SILENCE_MS))
    .toSorted((a, b) => b.untilMs - b.fromMs - (a.untilMs - a.fromMs));
  const [longest] = silences;
  const violations = countKinds(all);
  return {
    clean: all.length === 0,
    violations,
    examples: firstOfEach(all, options.examples ?? DEFAULT_EXAMPLES),
    counts: {
      ok: countOutcome(log.pushes, 'ok'),
      refused: countOutcome(log.pushes, 'refused'),
      unknown: countOutcome(log.pushes, 'unknown'),
      deliveries: sum(log.devices.map(({ shown }) => shown.length)),
      repeats: sum(judged.map(({ repeats }) => repeats)),
      declaredGaps: sum(log.devices.map(({ gaps }) => gaps.length)),
      dropped: sum(judged.map(({ dropped }) => dropped)),
      droppedWhileConnected: sum(judged.map(({ droppedWhileConnected }) => droppedWhileConnected)),
      longestSilenceMs: longest ? longest.untilMs - longest.fromMs : 0,
    },
    terms: countTerms(log.pushes, judged),
    silences: silences.slice(0, LONGEST_SILENCES),
    readers: readersOf(judged),
  };
}

function byStream({ streams, pushes }: CheckLog): Map<string, JudgedPushes> {
  const found = new Map<string, { stream: CheckedStream; byNumber: Map<number, NumberedPush> }>(
    streams.map((stream) => [stream.name, { stream, byNumber: new Map() }]),
  );
  for (const push of pushes) found.get(push.stream)?.byNumber.set(push.number, push);
  return found;
}

function countKinds(all: readonly Violation[]): Record<ViolationKind, number> {
  const counts = Object.fromEntries(VIOLATIONS.map((kind) => [kind, 0])) as Record<ViolationKind, number>;
  for (const { kind } of all) counts[kind] += 1;
  return counts;
}

function firstOfEach(all: readonly Violation[], limit: number): Violation[] {
  return VIOLATIONS.flatMap((kind) =>
    all
      .filter((one) => one.kind === kind)
      .toSorted((a, b) => timeOf(a) - timeOf(b))
      .slice(0, limit),
  );
}

function timeOf({ pushedAtMs, shownAtMs }: Violation): number {
  return pushedAtMs ?? shownAtMs ?? 0;
}

function countOutcome(pushes: readonly NumberedPush[], outcome: NumberedPush['outcome']): number {
  return pushes.filter((push) => push.outcome === outcome).length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
