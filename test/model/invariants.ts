import type { Position } from '@halley/store/streams/streams';

/**
 * The protocol's invariants by their number, and what clients would notice. `watermarks` is of invariant 2 the part
 * T ≤ W and commit ≤ W, `held` the rest of it.
 */
export type Invariant =
  | '1 in the bus'
  | '2 held'
  | '2 watermarks'
  | '3 same record'
  | '4 nothing between'
  | '5 increasing'
  | '6 owner'
  | '7 catches up'
  | 'lost'
  | 'twice'
  | 'out of order'
  | 'phantom'
  | 'wrong user';

/** What only clients can notice; the rest is inside. */
export const SEEN_BY_CLIENTS: ReadonlySet<Invariant> = new Set([
  'lost',
  'twice',
  'out of order',
  'phantom',
  'wrong user',
]);

/** A broken invariant; ends the schedule. */
export class Violation extends Error {
  constructor(
    readonly invariant: Invariant,
    detail: string,
  ) {
    super(`${invariant}: ${detail}`);
  }
}

/** `5` or `offset.index`, as positions are read best. */
export function show(position: Position | undefined): string {
  if (position === undefined) return 'nothing';
  return position < 0 ? 'start' : `${Math.floor(position / 1_024)}.${position % 1_024}`;
}
