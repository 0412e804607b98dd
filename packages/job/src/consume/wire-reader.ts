/** How a field of protobuf is written: the last three bits of its tag. */
export const Wire = { Varint: 0, Bits64: 1, Bytes: 2, Bits32: 5 } as const;

/** Seven bits a byte: so many bytes of a varint are an exact number. */
const EXACT_BYTES = 7;
/** Of a varint of 64 bits. */
const MAX_VARINT_BYTES = 10;
/** Texts up to here are read byte by byte. */
const SHORT_TEXT = 12;

/**
 * Reads a message of protobuf from front to back, without an object for each message or 64-bit number. Throws RangeError
 * on what is none, in words that hold nothing of it.
 */
export class WireReader {
  #at: number;

  constructor(
    private readonly bytes: Buffer,
    from: number,
    private readonly end: number,
  ) {
    this.#at = from;
  }

  /** Whether there is nothing more. */
  get done(): boolean {
    return this.#at >= this.end;
  }

  /** The next field's number × 8 + how it is written. */
  tag(): number {
    const byte = this.bytes[this.#at]!;
    if (byte < 0x80 && this.#at < this.end) {
      this.#at += 1;
      return byte;
    }
    return this.#exact() >>> 0;
  }

  /** A whole number as it is, exact up to 2^53: times and enums. */
  number(): number {
    const from = this.#at;
    const value = this.#exact();
    if (this.#at - from <= EXACT_BYTES) return value;
    this.#at = from;
    return Number(this.#signed());
  }

  /** A whole number of 32 bits. */
  int32(): number {
    const from = this.#at;
    const value = this.#exact();
    if (this.#at - from <= 4) return value;
    this.#at = from;
    return Number(BigInt.asIntN(32, this.#signed()));
  }

  /** A whole number of 64 bits in decimal. */
  digits(): string {
    const from = this.#at;
    const value = this.#exact();
    if (this.#at - from <= EXACT_BYTES) return String(value);
    this.#at = from;
    return String(this.#signed());
  }

  bool(): boolean {
    return this.#exact() !== 0;
  }

  /** A view of the bytes. */
  view(): Buffer {
    const end = this.endOfBytes();
    const from = this.#at;
    this.#at = end;
    return this.bytes.subarray(from, end);
  }

  text(): string {
    const end = this.endOfBytes();
    const from = this.#at;
    this.#at = end;
    if (end - from > SHORT_TEXT) return this.bytes.toString('utf8', from, end);
    let text = '';
    for (let at = from; at < end; at += 1) {
      const byte = this.bytes[at]!;
      if (byte > 0x7f) return this.bytes.toString('utf8', from, end);
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** A message within this one. */
  message(): WireReader {
    const end = this.endOfBytes();
    const inner = new WireReader(this.bytes, this.#at, end);
    this.#at = end;
    return inner;
  }

  /** Passes over a field that is not known. */
  skip(tag: number): void {
    switch (tag & 7) {
      case Wire.Varint:
        this.#exact();
        return;
      case Wire.Bits64:
        return this.#pass(8);
      case Wire.Bytes:
        this.#at = this.endOfBytes();
        return;
      case Wire.Bits32:
        return this.#pass(4);
      default:
        throw new RangeError('invalid wire type');
    }
  }

  /** Where the bytes that follow their length end. */
  endOfBytes(): number {
    const length = this.#exact();
    const end = this.#at + length;
    if (end > this.end) throw new RangeError('index out of range');
    return end;
  }

  #pass(bytes: number): void {
    if (this.#at + bytes > this.end) throw new RangeError('index out of range');
    this.#at += bytes;
  }

  /** A varint as a number: exact of seven bytes at most. */
  #exact(): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < MAX_VARINT_BYTES; count += 1) {
      if (this.#at >= this.end) throw new RangeError('index out of range');
      const byte = this.bytes[this.#at]!;
      this.#at += 1;
      if (byte < 0x80) return value + byte * scale;
      value += (byte & 0x7f) * scale;
      scale *= 128;
    }
    throw new RangeError('invalid varint encoding');
  }

  #signed(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.bytes[this.#at]!;
      this.#at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
  }
}
