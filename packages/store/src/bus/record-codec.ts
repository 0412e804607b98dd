import type { BusRecord, ReadRecord } from './bus.js';

/** Layout: version u8 · time f64 · key length u32 · key · header count u16 · (name length u32 · name · value length u32 · value)… · value. */
const VERSION = 1;
const FIXED_BYTES = 1 + 8 + 4 + 2;

/** A record as the embedded bus stores it. */
export function encodeRecord(record: BusRecord, timestampMs: number): Buffer {
  const headers = Object.entries(record.headers ?? {});
  const texts = [record.key, ...headers.flat()];
  const textBytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const encoded = Buffer.allocUnsafe(FIXED_BYTES + headers.length * 8 + textBytes + record.value.byteLength);
  let at = encoded.writeUInt8(VERSION, 0);
  at = encoded.writeDoubleBE(timestampMs, at);
  at = writeText(encoded, record.key, at);
  at = encoded.writeUInt16BE(headers.length, at);
  for (const text of headers.flat()) at = writeText(encoded, text, at);
  encoded.set(record.value, at);
  return encoded;
}

/** The inverse of {@link encodeRecord}; throws on bytes of another layout. */
export function decodeRecord(offset: number, encoded: Buffer): ReadRecord {
  if (encoded.readUInt8(0) !== VERSION) throw new Error(`unknown record layout ${encoded.readUInt8(0)}`);
  const key = readText(encoded, 9);
  const count = encoded.readUInt16BE(key.end);
  const headers: [string, string][] = [];
  let at = key.end + 2;
  for (let index = 0; index < count; index += 1) {
    const name = readText(encoded, at);
    const value = readText(encoded, name.end);
    headers.push([name.text, value.text]);
    at = value.end;
  }
  return {
    offset,
    key: key.text,
    value: encoded.subarray(at),
    // An assignment would lose a header called __proto__.
    headers: Object.fromEntries(headers),
    timestampMs: recordTimeMs(encoded),
  };
}

/** When an encoded record was written, without decoding the rest. */
export function recordTimeMs(encoded: Buffer): number {
  return encoded.readDoubleBE(1);
}

/** What a record takes of queues and batches, roughly: its bytes and some overhead. */
export function recordBytes(record: BusRecord): number {
  let bytes = record.value.byteLength + record.key.length * 3 + 64;
  for (const name in record.headers) bytes += (name.length + (record.headers[name] ?? '').length) * 3 + 8;
  return bytes;
}

function writeText(target: Buffer, text: string, at: number): number {
  const length = target.write(text, at + 4);
  target.writeUInt32BE(length, at);
  return at + 4 + length;
}

function readText(source: Buffer, at: number): { text: string; end: number } {
  const end = at + 4 + source.readUInt32BE(at);
  return { text: source.toString('utf8', at + 4, end), end };
}
