import type { FaultSpan, NumberedPush } from './log.js';

/** A fault can cost something that was pushed just before it, and for a while after it was undone. */
const BEFORE_MS = 2_000;
const AFTER_MS = 10_000;

/** The faults that may have had to do with a push, or with what was shown at a time. */
export function activeFaults(
  faults: readonly FaultSpan[],
  push: NumberedPush | undefined,
  shownAtMs: number | undefined,
): string[] {
  const fromMs = push?.pushedAtMs ?? shownAtMs ?? 0;
  const untilMs = shownAtMs ?? push?.answeredAtMs ?? fromMs;
  return faults
    .filter(
      ({ injectedAtMs, healedAtMs }) =>
        injectedAtMs <= untilMs + BEFORE_MS && (healedAtMs ?? Infinity) + AFTER_MS >= fromMs,
    )
    .map(({ name }) => name);
}
