import { closeFrameV2, HEADER_V2_BYTES, trailerBytes, VERSION_2 } from '../frame-v2.js';
import type { Fields, Message, WriteFields } from './message.js';
import { Writer } from './wire.js';

/**
 * A whole frame with this message as its body, in one fresh buffer; bodies in the message are copied once, and not
 * compressed (compression.ts does that). `seq` is the request's, or 0. `flags`: 0 or `FrameFlag.Checksum`.
 */
export function encodeMessageFrame<F extends Fields>(
  op: number,
  seq: number,
  message: Message<F>,
  value: WriteFields<F>,
  flags = 0,
): Uint8Array {
  const out = new Writer();
  out.reserve(trailerBytes(flags));
  message.writeFields(out, value);
  out.reserve(HEADER_V2_BYTES);
  const frame = out.written;
  closeFrameV2(frame, 0, { ver: VERSION_2, op, seq, flags });
  return frame;
}
