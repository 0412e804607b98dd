import { createHash } from 'node:crypto';

import type { ConnectionKey } from '@halley/protocol/ids';

import type { Position, StreamEntry } from './streams.js';

/** What of an entry decides what it takes the place of. */
export type Collapsing = Pick<StreamEntry, 'operation' | 'keys' | 'collapseKey'>;

/**
 * Stands for what an entry of a stream takes the place of: entries of the same collapse key and operation, for the same
 * devices. Who does not accept the operation, or is not among the devices, would see neither otherwise. Undefined
 * where it has no collapse key.
 */
export function collapseIdOf({ operation, keys, collapseKey }: Collapsing): string | undefined {
  if (!collapseKey) return undefined;
  return idOf(operation, collapseKey, keys);
}

/** The ids of newer entries that take this one's place: for the same devices, or for all. Empty without a collapse key. */
export function collapsedByOf({ operation, keys, collapseKey }: Collapsing): readonly string[] {
  if (!collapseKey) return [];
  const forAll = idOf(operation, collapseKey, []);
  return keys.length === 0 ? [forAll] : [forAll, idOf(operation, collapseKey, keys)];
}

/** Whether one of these newest positions by id takes the place of an entry. */
export function isCollapsed(
  entry: Collapsing & { readonly position: Position },
  newest: ReadonlyMap<string, Position>,
): boolean {
  return collapsedByOf(entry).some((id) => (newest.get(id) ?? -Infinity) > entry.position);
}

function idOf(operation: number, collapseKey: string, keys: readonly ConnectionKey[]): string {
  const devices = [...new Set(keys)].sort();
  return createHash('sha256')
    .update(JSON.stringify([operation, collapseKey, devices]))
    .digest()
    .toString('base64url', 0, 16);
}
