import { Operation } from './operation.js';

/** Bytes of the header: packLen int32, headerLen int16, ver int16, op int32, seq int32, all big-endian. */
export const HEADER_BYTES = 16;
/** The protocol version of goim. */
export const VERSION_GOIM = 1;
/** The largest body that a client may send by default, in bytes. */
export const DEFAULT_MAX_CLIENT_BODY_BYTES = 4096;

/** One frame of the protocol. */
export interface Frame {
  readonly ver: number;
  readonly op: number;
  readonly seq: number;
  /** A view of the bytes that it was decoded from where that needs no copy: keep it only by copying. */
  readonly body: Uint8Array;
  /** Of a frame with the long header of version 2 (frame-v2.ts); absent of goim's. */
  readonly flags?: number;
}

const EMPTY = new Uint8Array(0);

/** A push as goim sends it: version 1, seq 0. */
export function pushFrame(op: number, body: Uint8Array): Frame {
  return { ver: VERSION_GOIM, op, seq: 0, body };
}

/** The reply to a request: its version and seq, another operation, and a body that is empty unless given. */
export function replyFrame(request: Frame, op: number, body: Uint8Array = EMPTY): Frame {
  return { ver: request.ver, op, seq: request.seq, body };
}

/** The bytes that a frame takes on the wire. */
export function frameBytes(frame: Frame): number {
  return HEADER_BYTES + frame.body.length;
}

/** Encodes one frame into a fresh buffer. */
export function encodeFrame(frame: Frame): Uint8Array {
  const out = new Uint8Array(frameBytes(frame));
  writeFrame(out, 0, frame);
  return out;
}

/** Encodes frames back to back into one fresh buffer: a TCP batch. */
export function encodeFrames(frames: readonly Frame[]): Uint8Array {
  let bytes = 0;
  for (const frame of frames) bytes += frameBytes(frame);
  const out = new Uint8Array(bytes);
  let offset = 0;
  for (const frame of frames) offset = writeFrame(out, offset, frame);
  return out;
}

/** Wraps whole frames, glued, in one op 9 frame: a WebSocket push. */
export function encodeRaw(frames: readonly Frame[]): Uint8Array {
  let bytes = HEADER_BYTES;
  for (const frame of frames) bytes += frameBytes(frame);
  const out = new Uint8Array(bytes);
  writeHeader(out, 0, bytes - HEADER_BYTES, VERSION_GOIM, Operation.Raw, 0);
  let offset = HEADER_BYTES;
  for (const frame of frames) offset = writeFrame(out, offset, frame);
  return out;
}

/** Writes a frame at `offset` and answers the offset behind it. */
export function writeFrame(out: Uint8Array, offset: number, frame: Frame): number {
  writeHeader(out, offset, frame.body.length, frame.ver, frame.op, frame.seq);
  out.set(frame.body, offset + HEADER_BYTES);
  return offset + HEADER_BYTES + frame.body.length;
}

/** Writes a header's first 16 bytes at `offset`; `bodyBytes` counts all that comes behind the header. */
export function writeHeader(
  out: Uint8Array,
  offset: number,
  bodyBytes: number,
  ver: number,
  op: number,
  seq: number,
  headerBytes = HEADER_BYTES,
): void {
  writeInt32(out, offset, headerBytes + bodyBytes);
  writeInt16(out, offset + 4, headerBytes);
  writeInt16(out, offset + 6, ver);
  writeInt32(out, offset + 8, op);
  writeInt32(out, offset + 12, seq);
}

/** Writes a big-endian int32. */
export function writeInt32(out: Uint8Array, offset: number, value: number): void {
  out[offset] = value >>> 24;
  out[offset + 1] = value >>> 16;
  out[offset + 2] = value >>> 8;
  out[offset + 3] = value;
}

/** Reads a big-endian, signed int32. */
export function readInt32(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset] as number) << 24) |
    ((bytes[offset + 1] as number) << 16) |
    ((bytes[offset + 2] as number) << 8) |
    (bytes[offset + 3] as number)
  );
}

/** Reads a big-endian, signed int16. */
export function readInt16(bytes: Uint8Array, offset: number): number {
  return (((bytes[offset] as number) << 24) >> 16) | (bytes[offset + 1] as number);
}

/** Writes a big-endian int16. */
export function writeInt16(out: Uint8Array, offset: number, value: number): void {
  out[offset] = value >>> 8;
  out[offset + 1] = value;
}
