import { HalleyError } from './error.js';
import { DEFAULT_MAX_CLIENT_BODY_BYTES, HEADER_BYTES, readInt16, readInt32, type Frame } from './frame.js';
import { checksumHolds, HEADER_V2_BYTES, KNOWN_FLAGS, readFlags, trailerBytes } from './frame-v2.js';
import { Operation } from './operation.js';

export interface DecoderOptions {
  /** The largest body taken, in bytes. Default 4,096 (a client's); sane up to 1 MiB and a batch's overhead. */
  readonly maxBodyBytes?: number;
  /** Takes frames with the long header too: those of who asked for version 2. Default false. */
  readonly version2?: boolean;
}

/** What frames are judged by. */
interface Rules {
  readonly maxBodyBytes: number;
  readonly version2: boolean;
}

/** A header that was read and found good. */
interface Header {
  readonly packLen: number;
  readonly headerLen: number;
  readonly ver: number;
  readonly op: number;
  readonly seq: number;
  /** Of the long header only. */
  readonly flags: number | undefined;
}

/** Where the decoder stands between two chunks. */
type State =
  /** Between two frames: nothing is held. */
  | { readonly name: 'boundary' }
  /** Some, but not all, of the header's first `wantedBytes` are held: 16, and 20 once they say that it is a long one. */
  | { readonly name: 'header'; readonly wantedBytes: number }
  /** The header is held and good, the body is not whole. */
  | { readonly name: 'body'; readonly header: Header }
  /** A fault was found: nothing is taken any more. */
  | { readonly name: 'poisoned'; readonly fault: HalleyError };

const BOUNDARY: State = { name: 'boundary' };
const IN_HEADER: State = { name: 'header', wantedBytes: HEADER_BYTES };
const IN_LONG_HEADER: State = { name: 'header', wantedBytes: HEADER_V2_BYTES };
const NOTHING = new Uint8Array(0);
/** The first buffer for a frame in pieces: it doubles from here as bytes arrive. */
const FIRST_BUFFER_BYTES = 64;

/**
 * Takes a stream of frames that is cut and glued anywhere and answers whole frames.
 *
 * A frame that lies whole in one chunk is not copied. A frame in pieces is gathered in a buffer that doubles as bytes
 * arrive, so it costs linear time and at most twice the memory of what has arrived, whatever length was announced.
 * A fault throws HalleyError `bad_frame` or `frame_too_large` as soon as the header with it is whole, a checksum that does
 * not hold `corrupt_frame` when the frame is; afterwards the decoder takes nothing more and throws the same fault again.
 *
 * Compressed bodies come out as they are, for `plainFrame` of client/compression.ts.
 */
export class FrameDecoder {
  #rules: Rules;
  #state: State = BOUNDARY;
  /** The bytes of the frame in pieces: its first `#heldBytes` bytes count. */
  #held: Uint8Array = NOTHING;
  #heldBytes = 0;

  constructor(options: DecoderOptions = {}) {
    this.#rules = rulesOf(options);
  }

  /** From the next push on frames with the long header are taken too: the client asked for version 2, and was answered. */
  acceptVersion2(): void {
    this.#rules = { ...this.#rules, version2: true };
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
          offset = this.#inHeader(this.#state.wantedBytes, chunk, offset, frames);
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
      const header = this.#check(chunk, offset, chunk.length);
      if (!header) {
        this.#hold(chunk, offset, chunk.length, HEADER_V2_BYTES);
        this.#state = IN_LONG_HEADER;
        return chunk.length;
      }
      const end = offset + header.packLen;
      if (end > chunk.length) {
        this.#hold(chunk, offset, chunk.length, header.packLen);
        this.#state = { name: 'body', header };
        return chunk.length;
      }
      frames.push(this.#take(header, chunk, offset));
      offset = end;
    }
    if (offset < chunk.length) {
      this.#hold(chunk, offset, chunk.length, HEADER_BYTES);
      this.#state = IN_HEADER;
    }
    return chunk.length;
  }

  /** Gathers the header; an empty body makes the frame whole at once. */
  #inHeader(wantedBytes: number, chunk: Uint8Array, offset: number, frames: Frame[]): number {
    const end = Math.min(chunk.length, offset + wantedBytes - this.#heldBytes);
    this.#hold(chunk, offset, end, wantedBytes);
    if (this.#heldBytes === wantedBytes) {
      const header = this.#check(this.#held, 0, this.#heldBytes);
      if (header) {
        this.#state = { name: 'body', header };
        this.#finishIfWhole(header, frames);
      } else {
        this.#state = IN_LONG_HEADER;
      }
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
    frames.push(this.#take(header, this.#held, 0));
    this.#release();
    this.#state = BOUNDARY;
  }

  /** Reads the header at `offset`, undefined when it is a long one that is not whole; a fault poisons the decoder. */
  #check(bytes: Uint8Array, offset: number, end: number): Header | undefined {
    try {
      return readHeader(bytes, offset, end, this.#rules);
    } catch (error) {
      throw this.#poison(error);
    }
  }

  /** The frame at `offset`, of which all bytes are there; a fault poisons the decoder. */
  #take(header: Header, bytes: Uint8Array, offset: number): Frame {
    try {
      return frameOf(header, bytes, offset);
    } catch (error) {
      throw this.#poison(error);
    }
  }

  #poison(error: unknown): HalleyError {
    const fault = HalleyError.from(error);
    this.#state = { name: 'poisoned', fault };
    this.#release();
    return fault;
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
  const rules = rulesOf(options);
  let offset = 0;
  do {
    const leftBytes = message.length - offset;
    const header = leftBytes < HEADER_BYTES ? undefined : readHeader(message, offset, message.length, rules);
    if (!header) {
      throw new HalleyError('bad_frame', `The message ends ${leftBytes} bytes into a header.`);
    }
    if (header.packLen > leftBytes) {
      throw new HalleyError(
        'bad_frame',
        `packLen is ${header.packLen}, but the message has only ${leftBytes} bytes left.`,
      );
    }
    frames.push(frameOf(header, message, offset));
    offset += header.packLen;
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

function rulesOf(options: DecoderOptions): Rules {
  return {
    maxBodyBytes: options.maxBodyBytes ?? DEFAULT_MAX_CLIENT_BODY_BYTES,
    version2: options.version2 ?? false,
  };
}

/**
 * Reads and judges the header at `offset`, of which the first 16 bytes must be there. Undefined when it is a long one that
 * does not end by `end`.
 */
function readHeader(bytes: Uint8Array, offset: number, end: number, rules: Rules): Header | undefined {
  const packLen = readInt32(bytes, offset);
  const headerLen = readInt16(bytes, offset + 4);
  const long = headerLen === HEADER_V2_BYTES && rules.version2;
  if (packLen < HEADER_BYTES) {
    throw new HalleyError('bad_frame', `packLen is ${packLen}, below the header's ${HEADER_BYTES} bytes.`);
  }
  if (headerLen !== HEADER_BYTES && !long) {
    const right = rules.version2 ? `${HEADER_BYTES} or ${HEADER_V2_BYTES}` : `${HEADER_BYTES}`;
    throw new HalleyError('bad_frame', `headerLen is ${headerLen}, not ${right}.`);
  }
  if (long) {
    // What is wrong whatever the flags are comes first, so that the fault is the same however the bytes come.
    judgeLength(packLen, headerLen, 0, rules.maxBodyBytes + trailerBytes(KNOWN_FLAGS));
    if (offset + HEADER_V2_BYTES > end) return undefined;
  }
  const flags = long ? readFlags(bytes, offset) : undefined;
  if (flags !== undefined && (flags & ~KNOWN_FLAGS) !== 0) {
    throw new HalleyError('bad_frame', `flags are ${flags}; known are those in ${KNOWN_FLAGS}.`);
  }
  judgeLength(packLen, headerLen, trailerBytes(flags ?? 0), rules.maxBodyBytes);
  return {
    packLen,
    headerLen,
    ver: readInt16(bytes, offset + 6),
    op: readInt32(bytes, offset + 8),
    seq: readInt32(bytes, offset + 12),
    flags,
  };
}

function judgeLength(packLen: number, headerLen: number, trailer: number, maxBodyBytes: number): void {
  if (packLen < headerLen + trailer) {
    throw new HalleyError(
      'bad_frame',
      `packLen is ${packLen}, below the ${headerLen + trailer} bytes of header and trailer.`,
    );
  }
  if (packLen - headerLen - trailer > maxBodyBytes) {
    throw new HalleyError(
      'frame_too_large',
      `packLen is ${packLen}, above ${headerLen + maxBodyBytes + trailer}.`,
    );
  }
}

/** The frame at `start`, all of which is there; its body is a view. Throws `corrupt_frame`. */
function frameOf(header: Header, bytes: Uint8Array, start: number): Frame {
  const { packLen, headerLen, ver, op, seq, flags } = header;
  const end = start + packLen;
  if (flags === undefined) return { ver, op, seq, body: bytes.subarray(start + headerLen, end) };
  const trailer = trailerBytes(flags);
  if (trailer > 0 && !checksumHolds(bytes, start, end)) throw new HalleyError('corrupt_frame');
  return { ver, op, seq, body: bytes.subarray(start + headerLen, end - trailer), flags };
}
