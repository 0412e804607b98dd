import { HalleyError } from './error.js';
import { DEFAULT_MAX_CLIENT_BODY_BYTES, HEADER_BYTES, readInt16, readInt32, type Frame } from './frame.js';
import { Operation } from './operation.js';

export interface DecoderOptions {
  /** The largest body taken, in bytes. Default 4,096 (a client's); sane up to 1 MiB and a batch's overhead. */
  readonly maxBodyBytes?: number;
}

/** A header that was read and found good. */
interface Header {
  readonly packLen: number;
  readonly ver: number;
  readonly op: number;
  readonly seq: number;
}

/** Where the decoder stands between two chunks. */
type State =
  /** Between two frames: nothing is held. */
  | { readonly name: 'boundary' }
  /** Some, but not all, bytes of a header are held. */
  | { readonly name: 'header' }
  /** The header is held and good, the body is not whole. */
  | { readonly name: 'body'; readonly header: Header }
  /** A fault was found: nothing is taken any more. */
  | { readonly name: 'poisoned'; readonly fault: HalleyError };

const BOUNDARY: State = { name: 'boundary' };
const IN_HEADER: State = { name: 'header' };
const NOTHING = new Uint8Array(0);
/** The first buffer for a frame in pieces: it doubles from here as bytes arrive. */
const FIRST_BUFFER_BYTES = 64;

/**
 * Takes a stream of frames that is cut and glued anywhere and answers whole frames.
 *
 * A frame that lies whole in one chunk is not copied. A frame in pieces is gathered in a buffer that doubles as bytes
 * arrive, so it costs linear time and at most twice the memory of what has arrived, whatever length was announced.
 * A fault throws HalleyError `bad_frame` or `frame_too_large` as soon as the header with it is whole; afterwards the
 * decoder takes nothing more and throws the same fault again.
 */
export class FrameDecoder {
  readonly #maxBodyBytes: number;
  #state: State = BOUNDARY;
  /** The bytes of the frame in pieces: its first `#heldBytes` bytes count. */
  #held: Uint8Array = NOTHING;
  #heldBytes = 0;

  constructor(options: DecoderOptions = {}) {
    this.#maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_CLIENT_BODY_BYTES;
  }

  /**
   * Frames completed by this chunk, in order, appended to `frames`, which is also what is returned. When it throws, the
   * frames ahead of the fault are in `frames`: handle them, then close.
   * A body is a view of `chunk` unless the frame came in pieces: copy what is kept beyond the chunk's life.
   */
  push(chunk: Uint8Array, frames: Frame[] = []): Frame[] {
    let offset = 0;
    do {
      switch (this.#state.name) {
        case 'boundary':
          offset = this.#atBoundary(chunk, offset, frames);
          break;
        case 'header':
          offset = this.#inHeader(chunk, offset, frames);
          break;
        case 'body':
          offset = this.#inBody(this.#state.header, chunk, offset, frames);
          break;
        case 'poisoned':
          throw this.#state.fault;
      }
    } while (offset < chunk.length);
    return frames;
  }

  /** Bytes held back for a frame that is not whole yet. */
  get pendingBytes(): number {
    return this.#heldBytes;
  }

  /** Memory taken by what is held back, in bytes: at most 64 or twice `pendingBytes`, whichever is more. */
  get reservedBytes(): number {
    return this.#held.length;
  }

  /** Takes whole frames out of the chunk as views, and holds what is left of it. */
  #atBoundary(chunk: Uint8Array, start: number, frames: Frame[]): number {
    let offset = start;
    while (chunk.length - offset >= HEADER_BYTES) {
      const header = this.#check(chunk, offset);
      const end = offset + header.packLen;
      if (end > chunk.length) {
        this.#hold(chunk, offset, chunk.length, header.packLen);
        this.#state = { name: 'body', header };
        return chunk.length;
      }
      frames.push(frameOf(header, chunk.subarray(offset + HEADER_BYTES, end)));
      offset = end;
    }
    if (offset < chunk.length) {
      this.#hold(chunk, offset, chunk.length, HEADER_BYTES);
      this.#state = IN_HEADER;
    }
    return chunk.length;
  }

  /** Gathers the header; an empty body makes the frame whole at once. */
  #inHeader(chunk: Uint8Array, offset: number, frames: Frame[]): number {
    const end = Math.min(chunk.length, offset + HEADER_BYTES - this.#heldBytes);
    this.#hold(chunk, offset, end, HEADER_BYTES);
    if (this.#heldBytes === HEADER_BYTES) {
      const header = this.#check(this.#held, 0);
      this.#state = { name: 'body', header };
      this.#finishIfWhole(header, frames);
    }
    return end;
  }

  /** Gathers the body. */
  #inBody(header: Header, chunk: Uint8Array, offset: number, frames: Frame[]): number {
    const end = Math.min(chunk.length, offset + header.packLen - this.#heldBytes);
    this.#hold(chunk, offset, end, header.packLen);
    this.#finishIfWhole(header, frames);
    return end;
  }

  /** A frame that is whole takes the buffer with it. */
  #finishIfWhole(header: Header, frames: Frame[]): void {
    if (this.#heldBytes < header.packLen) return;
    frames.push(frameOf(header, this.#held.subarray(HEADER_BYTES, header.packLen)));
    this.#release();
    this.#state = BOUNDARY;
  }

  /** Reads the header at `offset`; a fault poisons the decoder. */
  #check(bytes: Uint8Array, offset: number): Header {
    try {
      return readHeader(bytes, offset, this.#maxBodyBytes);
    } catch (error) {
      const fault = HalleyError.from(error);
      this.#state = { name: 'poisoned', fault };
      this.#release();
      throw fault;
    }
  }

  /** Copies bytes behind those held. The buffer doubles, up to `wantedBytes`, the most that this part can need. */
  #hold(chunk: Uint8Array, start: number, end: number, wantedBytes: number): void {
    const bytes = this.#heldBytes + end - start;
    if (bytes > this.#held.length) {
      const doubled = Math.max(bytes, FIRST_BUFFER_BYTES, 2 * this.#held.length);
      const grown = new Uint8Array(Math.max(bytes, Math.min(doubled, wantedBytes)));
      grown.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = grown;
    }
    this.#held.set(chunk.subarray(start, end), this.#heldBytes);
    this.#heldBytes = bytes;
  }

  #release(): void {
    this.#held = NOTHING;
    this.#heldBytes = 0;
  }
}

/**
 * Decodes one message that must be whole frames, glued: a WebSocket message, or the body of an op 9 frame.
 * Bodies are views of the message. They are appended to `frames`, which is also what is returned. A frame that is cut off,
 * bytes left over, or no frame at all throw `bad_frame`, a body above the limit `frame_too_large`; then the frames ahead of
 * the fault are in `frames`.
 */
export function decodeMessage(
  message: Uint8Array,
  options: DecoderOptions = {},
  frames: Frame[] = [],
): Frame[] {
  const maxBodyBytes = options.maxBodyBytes ?? DEFAULT_MAX_CLIENT_BODY_BYTES;
  let offset = 0;
  do {
    if (message.length - offset < HEADER_BYTES) {
      throw new HalleyError('bad_frame', `The message ends ${message.length - offset} bytes into a header.`);
    }
    const header = readHeader(message, offset, maxBodyBytes);
    const end = offset + header.packLen;
    if (end > message.length) {
      throw new HalleyError(
        'bad_frame',
        `packLen is ${header.packLen}, but the message has only ${message.length - offset} bytes left.`,
      );
    }
    frames.push(frameOf(header, message.subarray(offset + HEADER_BYTES, end)));
    offset = end;
  } while (offset < message.length);
  return frames;
}

/**
 * The frames that a frame stands for: those in the body of an op 9 frame, in order, batches within a batch too; any other
 * frame is itself. Throws `bad_frame` when the body is not whole frames. Nesting costs no stack.
 */
export function unpackRaw(frame: Frame): Frame[] {
  const flat: Frame[] = [];
  const pending: Frame[] = [frame];
  for (let next = pending.pop(); next; next = pending.pop()) {
    if (next.op === Operation.Raw) {
      const inner = decodeMessage(next.body, { maxBodyBytes: next.body.length });
      for (let i = inner.length - 1; i >= 0; i -= 1) pending.push(inner[i] as Frame);
    } else {
      flat.push(next);
    }
  }
  return flat;
}

/** Reads and judges the header at `offset`, of which all 16 bytes must be there. */
function readHeader(bytes: Uint8Array, offset: number, maxBodyBytes: number): Header {
  const packLen = readInt32(bytes, offset);
  const headerLen = readInt16(bytes, offset + 4);
  if (packLen < HEADER_BYTES) {
    throw new HalleyError('bad_frame', `packLen is ${packLen}, below the header's ${HEADER_BYTES} bytes.`);
  }
  if (headerLen !== HEADER_BYTES) {
    throw new HalleyError('bad_frame', `headerLen is ${headerLen}, not ${HEADER_BYTES}.`);
  }
  if (packLen - HEADER_BYTES > maxBodyBytes) {
    throw new HalleyError('frame_too_large', `packLen is ${packLen}, above ${HEADER_BYTES + maxBodyBytes}.`);
  }
  return {
    packLen,
    ver: readInt16(bytes, offset + 6),
    op: readInt32(bytes, offset + 8),
    seq: readInt32(bytes, offset + 12),
  };
}

function frameOf(header: Header, body: Uint8Array): Frame {
  return { ver: header.ver, op: header.op, seq: header.seq, body };
}
