import { collapseIdIn, type PlannedPush } from '../append-plan.js';
import { encodeOwn, maxContentBytes, ownBytes, writeContent } from '../entry-codec.js';
import { type AppendPush, ID_LIFETIME_MS } from '../streams.js';

/*
 * A batch goes to Redis as one argument: a list in MessagePack, which Lua reads in one call. As arguments of their own,
 * ten for each push, they cost the client several times as much.
 */
const LIST_32 = 0xdd;
const LIST_HEAD_BYTES = 5;
const TEXT_32 = 0xdb;
/** With the length, of at most 31 bytes. */
const SHORT_TEXT = 0xa0;
const SHORT_TEXT_BYTES = 31;
const DOUBLE = 0xcb;
const UINT_32 = 0xce;
/** What a field takes beside its text, at most. */
const HEAD_BYTES = 9;
/** Decimal digits of a position, at most. */
const POSITION_BYTES = 20;
/** Of each push beside its targets, and of each target. */
const FIELDS = 6;
const TARGET_FIELDS = 3;
/** The digits of a collapse id, at most. */
const COLLAPSE_ID_BYTES = 24;
/** UTF-8, of one UTF-16 code unit. */
const BYTES_A_CHARACTER = 3;

/** The pushes of a batch as append.lua reads them. */
export function packPushes(plan: readonly PlannedPush[]): Buffer {
  const packed = Buffer.allocUnsafe(maxBytesOf(plan));
  packed[0] = LIST_32;
  let items = 0;
  let at = LIST_HEAD_BYTES;
  for (const { push, idKey, inline, targets } of plan) {
    items += FIELDS + TARGET_FIELDS * targets.length;
    at = writeText(packed, String(push.position), at);
    at = writeText(packed, idKey, at);
    at = writeText(packed, push.digest, at);
    packed[at] = DOUBLE;
    at = packed.writeDoubleBE(push.acceptedAtMs + ID_LIFETIME_MS, at + 1);
    at = inline ? writeText(packed, '', at) : writeEntry(packed, undefined, push, at);
    packed[at] = UINT_32;
    at = packed.writeUInt32BE(targets.length, at + 1);
    for (const target of targets) {
      at = writeText(packed, target.stream, at);
      at = writeEntry(packed, encodeOwn(target.keys, inline), inline ? push : undefined, at);
      at = writeText(packed, collapseIdIn(push, target), at);
    }
  }
  packed.writeUInt32BE(items, 1);
  return packed.subarray(0, at);
}

/** Names as append.lua reads them. */
export function packNames(names: readonly string[]): Buffer {
  let bytes = HEAD_BYTES * (names.length + 1);
  for (const name of names) bytes += BYTES_A_CHARACTER * name.length;
  const packed = Buffer.allocUnsafe(bytes);
  packed[0] = LIST_32;
  let at = packed.writeUInt32BE(names.length, 1);
  for (const name of names) at = writeText(packed, name, at);
  return packed.subarray(0, at);
}

function maxBytesOf(plan: readonly PlannedPush[]): number {
  let bytes = HEAD_BYTES;
  for (const { push, idKey, inline, targets } of plan) {
    const contentBytes = maxContentBytes(push);
    bytes += (FIELDS + TARGET_FIELDS * targets.length) * HEAD_BYTES + POSITION_BYTES;
    bytes += idKey.length + BYTES_A_CHARACTER * push.digest.length + (inline ? 0 : contentBytes);
    for (const { stream, keys } of targets) {
      bytes += BYTES_A_CHARACTER * stream.length + ownBytes(keys) + COLLAPSE_ID_BYTES;
      if (inline) bytes += contentBytes;
    }
  }
  return bytes;
}

/** An entry's own part, or the content of a push, or both, as one text. */
function writeEntry(
  packed: Buffer,
  own: Buffer | undefined,
  push: AppendPush | undefined,
  at: number,
): number {
  packed[at] = TEXT_32;
  const first = at + 5;
  let end = first;
  if (own) {
    packed.set(own, end);
    end += own.byteLength;
  }
  if (push) end = writeContent(packed, push, end);
  packed.writeUInt32BE(end - first, at + 1);
  return end;
}

/** Nearly every text is a short one of ASCII, which is copied faster than it is handed to the encoder. */
function writeText(packed: Buffer, text: string, at: number): number {
  const { length } = text;
  if (length <= SHORT_TEXT_BYTES) {
    let index = 0;
    for (; index < length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) break;
      packed[at + 1 + index] = code;
    }
    if (index === length) {
      packed[at] = SHORT_TEXT + length;
      return at + 1 + length;
    }
  }
  const written = packed.write(text, at + 5);
  packed[at] = TEXT_32;
  packed.writeUInt32BE(written, at + 1);
  return at + 5 + written;
}
