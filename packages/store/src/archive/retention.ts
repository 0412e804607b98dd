import { BEFORE_ALL, type Position } from '../streams/streams.js';
import type { Kept, Retention } from './archive.js';

/** What the archive knows of a stream's entries without looking at them, so that retention finds where it has work. */
export interface StreamState {
  readonly floor: Position;
  /** Entries above the floor, and when the first of them was accepted (Unix milliseconds; meaningless without one). */
  readonly resumable: number;
  readonly resumableFromMs: number;
  /** All entries, and when the first of them was accepted. */
  readonly archived: number;
  readonly archivedFromMs: number;
}

export const NO_ENTRIES: StreamState = {
  floor: BEFORE_ALL,
  resumable: 0,
  resumableFromMs: 0,
  archived: 0,
  archivedFromMs: 0,
};

/** Streams looked at in one call of retain. */
export const STREAMS_A_CALL = 2_000;
/** Rows that one call of retain deletes, roughly. */
export const ROWS_A_CALL = 10_000;
/** Bodies that one call of blank takes away. */
export const BODIES_A_CALL = 4_000;
/** Entries of one stream that pass the floor, or go, in one call. */
export const ENTRIES_A_STEP = 1_000;

/** Whether the floor of a stream moves, or entries go. */
export function isDue(state: StreamState, { resume, history }: Retention): boolean {
  return (
    isOver(state.resumable, state.resumableFromMs, resume) ||
    isOver(state.archived, state.archivedFromMs, history)
  );
}

/** The state with entries added behind the others; the first of them was accepted at `fromMs`. */
export function withAppended(state: StreamState, count: number, fromMs: number): StreamState {
  return {
    floor: state.floor,
    resumable: state.resumable + count,
    resumableFromMs: state.resumable === 0 ? fromMs : state.resumableFromMs,
    archived: state.archived + count,
    archivedFromMs: state.archived === 0 ? fromMs : state.archivedFromMs,
  };
}

/** An entry as retention sees it. */
export interface AgedEntry {
  readonly position: Position;
  readonly acceptedAtMs: number;
}

/** What one step of retention does to a stream. */
export interface RetainStep<Entry extends AgedEntry> {
  readonly state: StreamState;
  readonly deleted: readonly Entry[];
}

/**
 * One step for one stream. Entries leave from the front, in order, each when it was accepted too early or too many are
 * behind it: first they pass the floor, then, by the history's retention, they are deleted.
 *
 * `front` are the entries above the floor and `oldest` all of them, each from the oldest on and one more than
 * {@link ENTRIES_A_STEP} at most. `deleted` is for the caller to delete.
 */
export function retainStep<Entry extends AgedEntry>(
  before: StreamState,
  { resume, history }: Retention,
  front: readonly AgedEntry[],
  oldest: readonly Entry[],
): RetainStep<Entry> {
  const resumable = counted(front, before.resumable);
  const passed = leaving(front, resumable, resume);
  const floor = front[passed - 1]?.position ?? before.floor;
  const archived = counted(oldest, before.archived);
  const below = oldest.filter(({ position }) => position <= floor);
  const gone = leaving(below, archived, history);
  return {
    state: {
      floor,
      resumable: resumable - passed,
      resumableFromMs: front[passed]?.acceptedAtMs ?? 0,
      archived: archived - gone,
      archivedFromMs: oldest[gone]?.acceptedAtMs ?? 0,
    },
    deleted: below.slice(0, gone),
  };
}

function isOver(count: number, fromMs: number, kept: Kept): boolean {
  return count > kept.maxEntries || (count > 0 && fromMs < kept.sinceMs);
}

/** Few enough to see them all are counted rather than the count believed. */
function counted(seen: readonly AgedEntry[], believed: number): number {
  return seen.length > ENTRIES_A_STEP ? Math.max(believed, seen.length) : seen.length;
}

/** How many of the front leave, `count` being there in all. */
function leaving(front: readonly AgedEntry[], count: number, kept: Kept): number {
  const most = Math.min(front.length, ENTRIES_A_STEP);
  let left = 0;
  while (left < most && isOver(count - left, front[left]!.acceptedAtMs, kept)) left += 1;
  return left;
}
