import type { CheckOutcome } from '../check/run.js';

/** What happened in one slice of time. */
export interface Slice {
  readonly fromMs: number;
  ok: number;
  refused: number;
  unknown: number;
  deliveries: number;
  /** Devices that were not in session at some moment of it. */
  away: number;
  /** Devices that something waited for, and that were shown nothing, for a second or more. */
  waiting: number;
}

export interface Timeline {
  readonly sliceMs: number;
  readonly endMs: number;
  readonly slices: readonly Slice[];
}

const SLICES = 240;
const MIN_SLICE_MS = 250;
const WAITING_MS = 1_000;

/** Cuts a check into slices of equal length. */
export function timelineOf({ log, verdict, endMs }: CheckOutcome): Timeline {
  const sliceMs = Math.max(MIN_SLICE_MS, Math.ceil(endMs / SLICES / MIN_SLICE_MS) * MIN_SLICE_MS);
  const slices: Slice[] = Array.from({ length: Math.max(1, Math.ceil(endMs / sliceMs)) }, (_, index) => ({
    fromMs: index * sliceMs,
    ok: 0,
    refused: 0,
    unknown: 0,
    deliveries: 0,
    away: 0,
    waiting: 0,
  }));
  const at = (atMs: number): number => Math.min(slices.length - 1, Math.max(0, Math.floor(atMs / sliceMs)));
  const count = (index: number, field: Exclude<keyof Slice, 'fromMs'>): void => {
    const slice = slices[index];
    if (slice) slice[field] += 1;
  };
  const during = (fromMs: number, untilMs: number, field: 'away' | 'waiting'): void => {
    for (let index = at(fromMs); index <= at(untilMs); index += 1) count(index, field);
  };
  for (const { outcome, answeredAtMs } of log.pushes) count(at(answeredAtMs), outcome);
  for (const { shown, connections } of log.devices) {
    for (const { atMs } of shown) count(at(atMs), 'deliveries');
    for (const [index, { closedAtMs }] of connections.entries())
      if (closedAtMs !== undefined) during(closedAtMs, connections[index + 1]?.openedAtMs ?? endMs, 'away');
  }
  for (const { fromMs, untilMs } of verdict.silences)
    if (untilMs - fromMs >= WAITING_MS) during(fromMs, untilMs, 'waiting');
  return { sliceMs, endMs, slices };
}
