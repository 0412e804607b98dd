import type { CheckOutcome } from '../check/run.js';
import { type Violation, VIOLATIONS } from '../check/verdict.js';

/** The line that a check ends with: `lost 0, shown twice 0, out of order 0, phantom 0, wrong user 0, untimely 0`. */
export function verdictLine({ verdict }: CheckOutcome): string {
  return VIOLATIONS.map((kind) => `${kind} ${verdict.violations[kind]}`).join(', ');
}

/** What may happen, in a line. */
export function countsLine({ verdict: { counts } }: CheckOutcome): string {
  return [
    `ok ${counts.ok}`,
    `refused ${counts.refused}`,
    `unknown ${counts.unknown}`,
    `deliveries ${counts.deliveries}`,
    `declared gaps ${counts.declaredGaps}`,
    `repeats ${counts.repeats}`,
    `dropped (ephemeral) ${counts.dropped}, ${counts.droppedWhileConnected} of them to connected devices`,
    `longest silence ${seconds(counts.longestSilenceMs)}`,
  ].join(', ');
}

/** What became of pushes that ask for more than to be delivered, in a line. */
export function termsLine({ verdict: { terms } }: CheckOutcome): string {
  const { scheduled, cancelled, tooLate, bulk, latestMs, latestCalmMs, devices } = terms;
  const calm = latestCalmMs === undefined ? '' : ` (${milliseconds(latestCalmMs)} with no fault about then)`;
  return [
    `scheduled ${scheduled}, at most ${milliseconds(latestMs)} late${calm}`,
    `cancelled ${cancelled}, too late for ${tooLate}`,
    `bulk ${bulk}`,
    `not shown: ${devices.expired} expired, ${devices.collapsed} for a newer one`,
  ].join('; ');
}

/** By which transports clients were connected. */
export function transportsLine({ log }: CheckOutcome): string {
  const used = new Map<string, number>();
  let moves = 0;
  for (const { connections } of log.devices) {
    for (const by of new Set(connections.flatMap((one) => one.by ?? [])))
      used.set(by, (used.get(by) ?? 0) + 1);
    moves += connections.filter(({ by }, index) => index > 0 && by !== connections[index - 1]?.by).length;
  }
  const counts = [...used].toSorted(([a], [b]) => a.localeCompare(b)).map(([by, count]) => `${by} ${count}`);
  return `clients by transport: ${counts.join(', ')}; moved ${moves} times`;
}

/** One violation in words, with all that helps to find its cause. */
export function violationLine(violation: Violation): string {
  const { kind, device, who, stream, number, what, pushedAtMs, via, shownAtMs, faults } = violation;
  const which = stream === '' ? '' : ` ${stream} #${number}`;
  const facts = [
    ...(pushedAtMs === undefined ? [] : [`pushed at ${seconds(pushedAtMs)} by ${via}`]),
    ...(shownAtMs === undefined ? [] : [`shown at ${seconds(shownAtMs)}`]),
    faults.length > 0 ? `faults: ${faults.join(', ')}` : 'no fault about then',
  ];
  return `${kind}:${which} at ${device} (${who}) ${what} (${facts.join('; ')})`;
}

/** Whether nothing promised was broken, and everything came back. */
export function isPassed({ verdict, troubles }: CheckOutcome): boolean {
  return verdict.clean && troubles.length === 0;
}

/** Milliseconds as `12.3 s`. */
export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}

/** Milliseconds as `12 ms`. */
export function milliseconds(ms: number): string {
  return `${ms.toFixed(0)} ms`;
}

/** How soon what was pushed was shown, and what the comets took for it: a line for each habit, and one for the comets. */
export function readerLines({ verdict, memory }: CheckOutcome): string[] {
  const readers = verdict.readers.map(
    ({ client, habit, devices, medianMs, p99Ms }) =>
      `${client}, ${habit} (${devices}): median ${milliseconds(medianMs)}, p99 ${milliseconds(p99Ms)}`,
  );
  const comets = memory.map(
    ({ node, firstMb, highestMb }) => `${node} ${firstMb.toFixed(0)} to ${highestMb.toFixed(0)} MB`,
  );
  return [...readers, ...(comets.length > 0 ? [`memory: ${comets.join(', ')}`] : [])];
}
