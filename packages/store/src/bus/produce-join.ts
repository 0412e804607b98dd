import type { BusRecord } from './bus.js';

/** A position in a partition is a record's offset × 1,024 + the index of the entry in it. */
const MAX_ENTRIES = 1_024;
/** Values are joined up to this; a larger one stands alone. */
const MAX_JOINED_BYTES = 512 * 1_024;

/** What becomes of records that go to the bus together. */
export interface Joined {
  readonly records: readonly BusRecord[];
  /** In which of `records` each that was given is; undefined: they are the given ones. */
  readonly places?: readonly number[];
}

/**
 * Joins records that say their number of entries with those right before them, in order. What comes one by one, each in a
 * call of its own, so costs the bus and its readers a record for many instead of one for each.
 */
export function joinRecords(given: readonly BusRecord[]): Joined {
  if (!given.some((record, index) => index > 0 && fits(given[index - 1]!, record))) return { records: given };
  const records: BusRecord[] = [];
  const places: number[] = [];
  let open: BusRecord[] = [];
  let [entries, bytes] = [0, 0];
  const close = (): void => {
    if (open.length > 0) records.push(joined(open, entries, bytes));
    open = [];
    [entries, bytes] = [0, 0];
  };
  for (const record of given) {
    const { length } = record.value;
    const last = open.at(-1);
    if (
      last &&
      !(
        fits(last, record) &&
        entries + (record.entries ?? 0) <= MAX_ENTRIES &&
        bytes + length <= MAX_JOINED_BYTES
      )
    ) {
      close();
    }
    places.push(records.length);
    open.push(record);
    entries += record.entries ?? 0;
    bytes += length;
  }
  close();
  return { records, places };
}

/** Whether one may stand behind the other in one record at all. */
function fits(before: BusRecord, record: BusRecord): boolean {
  return before.entries !== undefined && record.entries !== undefined && !before.headers && !record.headers;
}

function joined(parts: readonly BusRecord[], entries: number, bytes: number): BusRecord {
  const [first] = parts;
  if (parts.length === 1 && first) return first;
  const value = Buffer.concat(
    parts.map((part) => part.value),
    bytes,
  );
  return { ...first!, value, entries };
}
