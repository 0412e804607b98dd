import { crc32c } from './crc32c.js';
import { readInt16, readInt32, writeHeader, writeInt16, writeInt32, type Frame } from './frame.js';

/** The version whose frames have the long header. */
export const VERSION_2 = 2;
/** Bytes of the long header: the 16 of goim's, flags uint16, reserved uint16 (0 when sent, not looked at when read). */
export const HEADER_V2_BYTES = 20;
/** Bytes of the trailer of frames with {@link FrameFlag.Checksum}. */
export const TRAILER_BYTES = 4;

/** Flags of the long header. A frame with any other is refused: what its body means is not known. */
export const FrameFlag = {
  /** Behind the body comes a CRC-32C, big-endian, of all before it: the header, and the body as it is sent. */
  Checksum: 1,
  /** The body is compressed: one raw deflate stream (RFC 1951), nothing behind it. */
  Deflated: 2,
} as const;

/** All flags that are known. */
export const KNOWN_FLAGS = FrameFlag.Checksum | FrameFlag.Deflated;

/** A frame with the long header. */
export interface FrameV2 extends Frame {
  readonly flags: number;
}

/** Whether a decoded frame had the long header. */
export function isFrameV2(frame: Frame): frame is FrameV2 {
  return frame.flags !== undefined;
}

/** A frame of version 2. `seq` is 0 in what answers nothing; `flags` is 0 unless given. */
export function frameV2(op: number, seq: number, body: Uint8Array, flags = 0): FrameV2 {
  return { ver: VERSION_2, op, seq, body, flags };
}

/** Bytes of the trailer that these flags ask for. */
export function trailerBytes(flags: number): number {
  return flags & FrameFlag.Checksum ? TRAILER_BYTES : 0;
}

/** The bytes that a frame takes on the wire with the long header. */
export function frameV2Bytes(frame: FrameV2): number {
  return HEADER_V2_BYTES + frame.body.length + trailerBytes(frame.flags);
}

/** Encodes one frame into a fresh buffer, its body as it is: the flag for compression says what the body is already. */
export function encodeFrameV2(frame: FrameV2): Uint8Array {
  const out = new Uint8Array(frameV2Bytes(frame));
  out.set(frame.body, HEADER_V2_BYTES);
  closeFrameV2(out, 0, frame);
  return out;
}

/** Encodes frames back to back into one fresh buffer: what TCP takes, and one WebSocket message, alike. */
export function encodeFramesV2(frames: readonly FrameV2[]): Uint8Array {
  let bytes = 0;
  for (const frame of frames) bytes += frameV2Bytes(frame);
  const out = new Uint8Array(bytes);
  let offset = 0;
  for (const frame of frames) {
    out.set(frame.body, offset + HEADER_V2_BYTES);
    const end = offset + frameV2Bytes(frame);
    closeFrameV2(out.subarray(0, end), offset, frame);
    offset = end;
  }
  return out;
}

/**
 * Writes the header, and the trailer where `flags` ask for it, around a body that lies in `out` already: from
 * {@link HEADER_V2_BYTES} behind `start` up to the trailer, which ends `out`.
 */
export function closeFrameV2(
  out: Uint8Array,
  start: number,
  { ver, op, seq, flags }: Omit<FrameV2, 'body'>,
): void {
  writeHeader(out, start, out.length - start - HEADER_V2_BYTES, ver, op, seq, HEADER_V2_BYTES);
  writeInt16(out, start + 16, flags);
  writeInt16(out, start + 18, 0);
  if (flags & FrameFlag.Checksum) {
    const at = out.length - TRAILER_BYTES;
    writeInt32(out, at, crc32c(out.subarray(start, at)));
  }
}

/** The flags of the long header at `offset`. */
export function readFlags(bytes: Uint8Array, offset: number): number {
  return readInt16(bytes, offset + 16) & 0xffff;
}

/** Whether the trailer that ends at `end` is that of the frame that begins at `start`. */
export function checksumHolds(bytes: Uint8Array, start: number, end: number): boolean {
  const at = end - TRAILER_BYTES;
  return crc32c(bytes.subarray(start, at)) === readInt32(bytes, at);
}
