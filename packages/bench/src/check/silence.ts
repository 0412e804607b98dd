import type { Silence } from './verdict.js';

/** When something began to wait for a device, and when it was shown. */
export interface Wait {
  /** When the push was answered OK. */
  readonly fromMs: number;
  /** Infinity when it was never shown. */
  readonly shownAtMs: number;
}

/** The times in which something waited for a device and it was shown nothing, from `atLeastMs` on. */
export function silencesOf(
  device: string,
  waits: readonly Wait[],
  endMs: number,
  atLeastMs: number,
): Silence[] {
  const events = waits
    .filter(({ fromMs, shownAtMs }) => shownAtMs > fromMs)
    .flatMap(({ fromMs, shownAtMs }) => [
      { atMs: fromMs, change: 1 },
      { atMs: Math.min(shownAtMs, endMs), change: -1 },
    ])
    .toSorted((a, b) => a.atMs - b.atMs);
  const silences: Silence[] = [];
  let waiting = 0;
  let fromMs = 0;
  for (const { atMs, change } of events) {
    if (change < 0 && atMs - fromMs >= atLeastMs) silences.push({ device, fromMs, untilMs: atMs });
    // It begins with the first that waits, and again with each that is shown while others wait.
    if (change < 0 || waiting === 0) fromMs = atMs;
    waiting += change;
  }
  return silences;
}
