import type { IHeaders, KafkaMessage } from 'kafkajs';
import type { ReadRecord } from './bus.js';

/** What the client fetched, as the port tells it; `bytes` are those of the values. */
export function readRecords(messages: readonly KafkaMessage[]): { records: ReadRecord[]; bytes: number } {
  let bytes = 0;
  const records = messages.map((message): ReadRecord => {
    const value = message.value ?? Buffer.alloc(0);
    bytes += value.byteLength;
    return {
      offset: Number(message.offset),
      key: message.key?.toString('utf8'),
      value,
      headers: readHeaders(message.headers),
      timestampMs: Number(message.timestamp),
    };
  });
  return { records, bytes };
}

/** Of a name that stands more than once, the last value. */
function readHeaders(headers: IHeaders | undefined): Record<string, string> {
  const read: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers ?? {})) {
    const last = Array.isArray(value) ? value.at(-1) : value;
    if (last !== undefined) read[name] = last.toString();
  }
  return read;
}
