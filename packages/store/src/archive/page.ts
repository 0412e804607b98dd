/** The bodies of a history page together, where its query names no bound. */
export const HISTORY_MAX_BYTES = 8 * 1_048_576;

/** The first rows that fit, one at least where there is one, and whether others remain. Reads one row too many at most. */
export function fitting<Row>(
  rows: Iterable<Row>,
  bytesOf: (row: Row) => number,
  maxEntries: number,
  maxBytes: number,
): { readonly rows: Row[]; readonly more: boolean } {
  const taken: Row[] = [];
  let bytes = 0;
  for (const row of rows) {
    bytes += bytesOf(row);
    if (taken.length >= maxEntries || (taken.length > 0 && bytes > maxBytes))
      return { rows: taken, more: true };
    taken.push(row);
  }
  return { rows: taken, more: false };
}
