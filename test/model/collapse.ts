import type { Position } from '@halley/store/streams/streams';

import type { Push } from './bus.js';
import type { Faults } from './faults.js';

/** The newest positions of what stands at a place of the index. */
export type Collapses = Map<string, Position>;

/** Where an entry stands in the index of its stream; undefined without a collapse key. */
export function placeOf(stream: number, { collapse, only }: Push, faults: Faults): string | undefined {
  if (collapse === undefined) return undefined;
  return `${stream} ${collapse} ${faults.collapseAnyDevice ? '' : (only ?? '')}`;
}

/** Where the entries stand that take this one's place: those for the same device, and for all. */
export function placesAbove(stream: number, { collapse, only }: Push): readonly string[] {
  if (collapse === undefined) return [];
  const forAll = `${stream} ${collapse} `;
  return only === undefined ? [forAll] : [forAll, `${forAll}${only}`];
}

/** Whether whoever is to be shown the older one is shown the newer one in its place. */
export function takesPlace(newer: Push, older: Push): boolean {
  if (newer.collapse === undefined || newer.collapse !== older.collapse) return false;
  return newer.only === undefined || newer.only === older.only;
}

export function note(
  collapses: Collapses,
  stream: number,
  { position, push }: { readonly position: Position; readonly push: Push },
  faults: Faults,
): void {
  const place = placeOf(stream, push, faults);
  if (place !== undefined) collapses.set(place, Math.max(position, collapses.get(place) ?? position));
}

/** Forgets what stands up to a position. */
export function forget(collapses: Collapses, through: Position): void {
  for (const [place, position] of collapses) if (position <= through) collapses.delete(place);
}
