import type { Frame } from './frame.js';

export interface DecoderOptions {
  /** The largest body taken, in bytes. Default 4,096 (a client's); sane up to 1 MiB and a batch's overhead. */
  readonly maxBodyBytes?: number;
}

/**
 * Takes a stream of frames that is cut and glued anywhere and answers whole frames.
 * A fault throws HalleyError `bad_frame` or `frame_too_large`; afterwards the decoder takes nothing more.
 */
export class FrameDecoder {
  constructor(_options: DecoderOptions = {}) {}

  /** Frames completed by this chunk, in order. A body is a view of `chunk` unless the frame came in pieces. */
  push(_chunk: Uint8Array): Frame[] {
    throw new Error('not written yet');
  }

  /** Bytes held back for a frame that is not whole yet. */
  get pendingBytes(): number {
    return 0;
  }
}

/**
 * Decodes one message that must be whole frames, glued: a WebSocket message, or the body of an op 9 frame.
 * A frame that is cut off, or bytes left over, throw `bad_frame`.
 */
export function decodeMessage(_message: Uint8Array, _options: DecoderOptions = {}): Frame[] {
  throw new Error('not written yet');
}
