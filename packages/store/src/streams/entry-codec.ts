import type { ConnectionKey, UserId } from '@halley/protocol/ids';

import type { AppendPush, Position, Sender, StreamEntry } from './streams.js';

/*
 * What is stored of an entry is in two parts: the content, which all entries of a push share, and the entry's own.
 *
 * content: layout u8 · operation i32 · acceptedAt f64 · expireAt f64 · (length u32 · text) of id, caller, traceparent, in
 *          the layouts SENT and SENT_WITH_OPTIONS of the sender's mid, key, client id and toMid, and in the layouts WITH_OPTIONS
 *          and SENT_WITH_OPTIONS of the collapse key and the retention in decimal · body
 * own:     kind u8 · number of keys u16 · (length u32 · text) of each key · the content, when the kind is INLINE
 */
/** Of the business, as all entries once were. */
const PUSHED = 1;
/** Of a client. */
const SENT = 2;
/** As these two, with a collapse key or a retention. */
const WITH_OPTIONS = 3;
const SENT_WITH_OPTIONS = 4;
const CONTENT_FIXED_BYTES = 1 + 4 + 8 + 8;
const OWN_FIXED_BYTES = 1 + 2;
/** UTF-8, of one UTF-16 code unit. */
const BYTES_A_CHARACTER = 3;
/** Of any number as text. */
const RETENTION_DIGITS = 25;

/** The content follows in the entry itself. */
const INLINE = 'I'.charCodeAt(0);
/** The content is stored once for the shard, under the position. */
const SHARED = 'S'.charCodeAt(0);

const EVERY_DEVICE_INLINE = Buffer.from([INLINE, 0, 0]);
const EVERY_DEVICE_SHARED = Buffer.from([SHARED, 0, 0]);

/** What entries of one position have in common. */
export type Content = Omit<StreamEntry, 'position' | 'prev' | 'keys'>;

export function encodeContent(push: AppendPush): Buffer {
  const encoded = Buffer.allocUnsafe(maxContentBytes(push));
  return encoded.subarray(0, writeContent(encoded, push, 0));
}

/** What the content of a push takes at most, in bytes: more than it takes only where its texts are not ASCII. */
export function maxContentBytes(push: AppendPush): number {
  const { id, caller, traceparent, sender, collapseKey = '', retentionMs = 0, body } = push;
  let texts = 3;
  let characters = id.length + caller.length + traceparent.length;
  if (sender) {
    texts += 4;
    characters += sender.mid.length + sender.key.length + sender.clientId.length + sender.toMid.length;
  }
  if (collapseKey !== '' || retentionMs > 0) {
    texts += 2;
    characters += collapseKey.length + RETENTION_DIGITS;
  }
  return CONTENT_FIXED_BYTES + 4 * texts + BYTES_A_CHARACTER * characters + body.byteLength;
}

/** Writes the content of a push at `at`, where {@link maxContentBytes} are free; answers where it ends. */
export function writeContent(target: Buffer, push: AppendPush, at: number): number {
  const { sender, collapseKey = '', retentionMs = 0, body } = push;
  const hasOptions = collapseKey !== '' || retentionMs > 0;
  target[at] = (sender ? SENT : PUSHED) + (hasOptions ? WITH_OPTIONS - PUSHED : 0);
  let end = target.writeInt32BE(push.operation, at + 1);
  end = target.writeDoubleBE(push.acceptedAtMs, end);
  end = target.writeDoubleBE(push.expireAtMs, end);
  end = writeText(target, push.id, end);
  end = writeText(target, push.caller, end);
  end = writeText(target, push.traceparent, end);
  if (sender) {
    end = writeText(target, sender.mid, end);
    end = writeText(target, sender.key, end);
    end = writeText(target, sender.clientId, end);
    end = writeText(target, sender.toMid, end);
  }
  if (hasOptions) {
    end = writeText(target, collapseKey, end);
    end = writeText(target, String(retentionMs), end);
  }
  target.set(body, end);
  return end + body.byteLength;
}

/** The inverse of {@link encodeContent}; throws on bytes of another layout. The body is a view of `encoded`. */
export function decodeContent(encoded: Buffer): Content {
  const layout = encoded.readUInt8(0);
  if (layout < PUSHED || layout > SENT_WITH_OPTIONS) throw new Error(`unknown layout of an entry: ${layout}`);
  const id = readText(encoded, CONTENT_FIXED_BYTES);
  const caller = readText(encoded, id.end);
  const traceparent = readText(encoded, caller.end);
  const sent =
    layout === SENT || layout === SENT_WITH_OPTIONS
      ? readSender(encoded, traceparent.end)
      : { sender: undefined, end: traceparent.end };
  const { options, end } =
    layout >= WITH_OPTIONS ? readOptions(encoded, sent.end) : { options: {}, end: sent.end };
  return {
    id: id.text,
    operation: encoded.readInt32BE(1),
    body: encoded.subarray(end),
    acceptedAtMs: encoded.readDoubleBE(5),
    expireAtMs: encoded.readDoubleBE(13),
    traceparent: traceparent.text,
    caller: caller.text,
    ...(sent.sender && { sender: sent.sender }),
    ...options,
  };
}

type Options = Pick<StreamEntry, 'collapseKey' | 'retentionMs'>;

function readOptions(encoded: Buffer, at: number): { readonly options: Options; readonly end: number } {
  const collapseKey = readText(encoded, at);
  const retention = readText(encoded, collapseKey.end);
  const retentionMs = Number(retention.text);
  const options = {
    ...(collapseKey.text !== '' && { collapseKey: collapseKey.text }),
    ...(retentionMs > 0 && { retentionMs }),
  };
  return { options, end: retention.end };
}

function readSender(encoded: Buffer, at: number): { readonly sender: Sender; readonly end: number } {
  const mid = readText(encoded, at);
  const key = readText(encoded, mid.end);
  const clientId = readText(encoded, key.end);
  const toMid = readText(encoded, clientId.end);
  const sender = {
    mid: mid.text as UserId,
    key: key.text as ConnectionKey,
    clientId: clientId.text,
    toMid: toMid.text as UserId,
  };
  return { sender, end: toMid.end };
}

/** What an entry's own part takes, in bytes. */
export function ownBytes(keys: readonly ConnectionKey[]): number {
  let bytes = OWN_FIXED_BYTES;
  for (const key of keys) bytes += 4 + Buffer.byteLength(key);
  return bytes;
}

/** An entry's own part, without the content that follows when it is inline. */
export function encodeOwn(keys: readonly ConnectionKey[], inline: boolean): Buffer {
  if (keys.length === 0) return inline ? EVERY_DEVICE_INLINE : EVERY_DEVICE_SHARED;
  const encoded = Buffer.allocUnsafe(ownBytes(keys));
  let at = encoded.writeUInt8(inline ? INLINE : SHARED, 0);
  at = encoded.writeUInt16BE(keys.length, at);
  for (const key of keys) at = writeText(encoded, key, at);
  return encoded;
}

/**
 * Puts an entry together. `shared` answers the content stored under the position, for entries that do not carry their
 * own; undefined from it means that it is lost, and throws.
 */
export function decodeEntry(
  position: Position,
  prev: Position,
  own: Buffer,
  shared: (position: Position) => Content | undefined,
): StreamEntry {
  const count = own.readUInt16BE(1);
  const keys: ConnectionKey[] = [];
  let at = 3;
  for (let index = 0; index < count; index += 1) {
    const key = readText(own, at);
    keys.push(key.text as ConnectionKey);
    at = key.end;
  }
  const content = own.readUInt8(0) === INLINE ? decodeContent(own.subarray(at)) : shared(position);
  if (!content) throw new Error(`the content of position ${position} is lost`);
  return { ...content, position, prev, keys };
}

/** Whether an own part needs the content stored under its position. */
export function isShared(own: Buffer): boolean {
  return own.readUInt8(0) === SHARED;
}

const SHORT_TEXT = 64;

/** Most texts are short ones of ASCII, which are copied faster than they are handed to the encoder. */
function writeText(target: Buffer, text: string, at: number): number {
  const { length } = text;
  let index = 0;
  if (length <= SHORT_TEXT) {
    for (; index < length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) break;
      target[at + 4 + index] = code;
    }
  }
  const written = index === length ? length : target.write(text, at + 4);
  target.writeUInt32BE(written, at);
  return at + 4 + written;
}

function readText(source: Buffer, at: number): { text: string; end: number } {
  const end = at + 4 + source.readUInt32BE(at);
  return { text: source.toString('utf8', at + 4, end), end };
}
