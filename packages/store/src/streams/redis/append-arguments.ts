import type { PlannedPush } from '../append-plan.js';
import { ID_LIFETIME_MS } from '../streams.js';

/*
 * A batch goes to Redis as one argument: a list in MessagePack, which Lua reads in one call. As arguments of their own,
 * ten for each push, they cost the client several times as much.
 */
const LIST_32 = 0xdd;
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

/** The pushes of a batch as append.lua reads them. */
export function packPushes(plan: readonly PlannedPush[]): Buffer {
  let items = 0;
  let bytes = HEAD_BYTES;
  for (const { idKey, digest, content, inline, targets } of plan) {
    items += FIELDS + TARGET_FIELDS * targets.length;
    bytes += POSITION_BYTES + idKey.length + 3 * digest.length + (inline ? 0 : content.byteLength);
    for (const { stream, own, collapseId } of targets)
      bytes += 3 * stream.length + own.byteLength + (inline ? content.byteLength : 0) + collapseId.length;
  }
  const packed = Buffer.allocUnsafe(bytes + items * HEAD_BYTES);
  packed[0] = LIST_32;
  let at = packed.writeUInt32BE(items, 1);
  for (const { position, idKey, digest, acceptedAtMs, content, inline, targets } of plan) {
    at = writeText(packed, String(position), at);
    at = writeText(packed, idKey, at);
    at = writeText(packed, digest, at);
    packed[at] = DOUBLE;
    at = packed.writeDoubleBE(acceptedAtMs + ID_LIFETIME_MS, at + 1);
    at = inline ? writeText(packed, '', at) : writeBytes(packed, content, undefined, at);
    packed[at] = UINT_32;
    at = packed.writeUInt32BE(targets.length, at + 1);
    for (const { stream, own, collapseId } of targets) {
      at = writeText(packed, stream, at);
      at = writeBytes(packed, own, inline ? content : undefined, at);
      at = writeText(packed, collapseId, at);
    }
  }
  return packed.subarray(0, at);
}

function writeBytes(packed: Buffer, bytes: Buffer, more: Buffer | undefined, at: number): number {
  packed[at] = TEXT_32;
  const first = packed.writeUInt32BE(bytes.byteLength + (more?.byteLength ?? 0), at + 1);
  packed.set(bytes, first);
  const rest = first + bytes.byteLength;
  if (!more) return rest;
  packed.set(more, rest);
  return rest + more.byteLength;
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
