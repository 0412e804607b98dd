import type { BusRecord } from './bus.js';

/** What Kafka puts around a record's key, value and headers when it is alone in its batch, at most. */
const RECORD_OVERHEAD_BYTES = 128;

/** What a record takes of `bus.maxRecordBytes`, or a little more. */
export function recordSize({ key, value, headers }: BusRecord): number {
  let bytes = RECORD_OVERHEAD_BYTES + Buffer.byteLength(key) + value.byteLength;
  for (const text of Object.entries(headers ?? {}).flat()) bytes += Buffer.byteLength(text) + 5;
  return bytes;
}
