import { HalleyError } from '../error.js';

const FIRST_BUFFER_BYTES = 128;
const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });

/**
 * Writes protobuf from the end to the beginning: what a length counts is then there before the length, and a frame's
 * header goes ahead of its body, all in one buffer into which each body is copied once.
 */
export class Writer {
  #bytes: Uint8Array = new Uint8Array(FIRST_BUFFER_BYTES);
  #at = FIRST_BUFFER_BYTES;

  /** Bytes written. */
  get length(): number {
    return this.#bytes.length - this.#at;
  }

  /** What was written, as a view. */
  get written(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }

  /** Makes `count` bytes part of what is written, of any content. */
  reserve(count: number): void {
    if (count > this.#at) {
      const { written } = this;
      this.#bytes = new Uint8Array(Math.max(2 * this.#bytes.length, written.length + count));
      this.#bytes.set(written, this.#bytes.length - written.length);
      this.#at = this.#bytes.length - written.length;
    }
    this.#at -= count;
  }

  /** Writes bytes as they are. */
  raw(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.#bytes.set(bytes, this.#at);
  }

  /** Writes bytes and, ahead of them, their count. */
  bytes(bytes: Uint8Array): void {
    this.raw(bytes);
    this.varint(bytes.length);
  }

  text(text: string): void {
    this.bytes(encoder.encode(text));
  }

  /** Writes a varint of 64 bits, given as two halves. */
  varint(low: number, high = 0): void {
    let count = 1;
    for (let l = low >>> 0, h = high >>> 0; h > 0 || l > 127; count += 1) {
      l = ((l >>> 7) | (h << 25)) >>> 0;
      h >>>= 7;
    }
    this.reserve(count);
    let at = this.#at;
    let l = low >>> 0;
    let h = high >>> 0;
    for (; count > 1; count -= 1) {
      this.#bytes[at++] = (l & 127) | 128;
      l = ((l >>> 7) | (h << 25)) >>> 0;
      h >>>= 7;
    }
    this.#bytes[at] = l;
  }
}

/** Reads protobuf. Whatever is malformed throws HalleyError `bad_frame`. */
export class Reader {
  /** The halves of the last varint, unsigned. */
  low = 0;
  high = 0;
  readonly #bytes: Uint8Array;
  #at = 0;
  #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#end = bytes.length;
  }

  /** Whether bytes are left of the message, or of what {@link within} reads. */
  get more(): boolean {
    return this.#at < this.#end;
  }

  /** Reads a varint into `low` and `high`, and answers `low`. */
  varint(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end) throw malformed('it is cut off');
      const byte = this.#bytes[this.#at++] as number;
      const bits = byte & 127;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) high |= bits >>> 4;
      else if (shift > 28) high |= bits << (shift - 32);
      if (byte < 128) {
        this.low = low >>> 0;
        this.high = high >>> 0;
        return this.low;
      }
    }
    throw malformed('a number has more than ten bytes');
  }

  /** A view of the bytes that a count goes ahead of. */
  bytes(): Uint8Array {
    const end = this.#counted();
    const view = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return view;
  }

  text(): string {
    const bytes = this.bytes();
    try {
      return decoder.decode(bytes);
    } catch {
      throw malformed('a text is not UTF-8');
    }
  }

  /** Reads what a count goes ahead of: `read` is called until it is used up. */
  within(read: () => void): void {
    const outer = this.#end;
    const inner = this.#counted();
    this.#end = inner;
    while (this.more) read();
    this.#end = outer;
  }

  /** Steps over a field of this wire type. */
  skip(wire: number): void {
    switch (wire) {
      case 0:
        this.varint();
        break;
      case 1:
        this.#step(8);
        break;
      case 2:
        this.#at = this.#counted();
        break;
      case 5:
        this.#step(4);
        break;
      default:
        throw malformed(`wire type ${wire} is none`);
    }
  }

  /** Reads a count, and answers where what it counts ends. */
  #counted(): number {
    const count = this.varint();
    return this.#checked(this.high > 0 ? Number.POSITIVE_INFINITY : count);
  }

  #step(count: number): void {
    this.#at = this.#checked(count);
  }

  #checked(count: number): number {
    if (count > this.#end - this.#at) throw malformed('it is cut off');
    return this.#at + count;
  }
}

/** The fault of bytes that are not the message that they should be. */
export function malformed(why: string): HalleyError {
  return new HalleyError('bad_frame', `The body is not the message that its operation has: ${why}.`);
}
