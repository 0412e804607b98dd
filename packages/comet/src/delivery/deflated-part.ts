import { constants, deflateRawSync } from 'node:zlib';

import { FrameFlag, type FrameV2 } from '@halley/protocol/frame-v2';

/** A stored block says its length in 16 bits (RFC 1951, 3.2.4). */
const MAX_STORED_BYTES = 0xffff;
const STORED_HEADER_BYTES = 5;

/**
 * Bytes that stand in many different bodies, as a message to many users does in the frames of their streams: compressed
 * once. Each body becomes a stored block, the blocks that these bytes are compressed to, and a stored block.
 */
export class DeflatedPart {
  #blocks: Uint8Array | undefined;

  constructor(private readonly part: Uint8Array) {}

  /** The frame, compressed where that makes it smaller; its body holds the part. */
  within(frame: FrameV2): FrameV2 {
    const { buffer, byteOffset, byteLength } = frame.body;
    const body = Buffer.from(buffer, byteOffset, byteLength);
    // Bytes that are equal by chance do as well.
    const at = body.indexOf(this.part);
    const end = at + this.part.length;
    if (at < 0 || at > MAX_STORED_BYTES || body.length - end > MAX_STORED_BYTES) return frame;
    // A flush ends at a byte, and without the last block.
    this.#blocks ??= deflateRawSync(this.part, { finishFlush: constants.Z_SYNC_FLUSH });
    const deflated = Buffer.concat([
      stored(body.subarray(0, at), false),
      this.#blocks,
      stored(body.subarray(end), true),
    ]);
    if (deflated.length >= body.length) return frame;
    return { ...frame, body: deflated, flags: frame.flags | FrameFlag.Deflated };
  }
}

function stored(bytes: Uint8Array, last: boolean): Buffer {
  const block = Buffer.allocUnsafe(STORED_HEADER_BYTES + bytes.length);
  block[0] = last ? 1 : 0;
  block.writeUInt16LE(bytes.length, 1);
  block.writeUInt16LE(~bytes.length & 0xffff, 3);
  block.set(bytes, STORED_HEADER_BYTES);
  return block;
}
