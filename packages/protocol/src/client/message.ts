import type { UserId } from '../ids.js';
import { malformed, Reader, Writer } from './wire.js';

/** One type of protobuf: how its values are written and read. */
export interface Kind<Read, Write = Read> {
  /** 0 is a varint, 2 a count and so many bytes. */
  readonly wire: 0 | 2;
  /** What stands for absence. */
  readonly zero: Read;
  isZero(value: Write): boolean;
  write(out: Writer, value: Write): void;
  read(from: Reader): Read;
}

/** A field of a message; `one` is never absent, `maybe` can be, `many` is repeated. */
export interface Field<Read, Write = Read> {
  readonly no: number;
  readonly rule: 'one' | 'maybe' | 'many';
  readonly kind: Kind<unknown, unknown>;
  /** The types of the field's values; never there. */
  readonly types?: (written: Write) => Read;
}

export type Fields = Readonly<Record<string, Field<unknown, never>>>;

type ReadOf<F> = F extends Field<infer Read, never> ? Read : never;
type WriteOf<F> = F extends { readonly types?: (written: infer Write) => unknown } ? Write : never;

/** What decoding a message answers: every field is there, with its zero where it was not sent. */
export type ReadFields<F extends Fields> = { readonly [Name in keyof F]: ReadOf<F[Name]> };
/** What encoding a message takes: what is left out is not sent. */
export type WriteFields<F extends Fields> = { readonly [Name in keyof F]?: WriteOf<F[Name]> | undefined };

/** What decoding this message answers. */
export type Read<M> = M extends Message<infer F> ? ReadFields<F> : never;
/** What encoding this message takes. */
export type Write<M> = M extends Message<infer F> ? WriteFields<F> : never;

const NONE: readonly never[] = [];
const NO_BYTES = new Uint8Array(0);
const TWO_TO_32 = 2 ** 32;

/**
 * A message of protos/halley/client/v1, as a table of its fields. Encodes and decodes as proto3 does, strictly: what is
 * malformed, also a field of another wire type, throws HalleyError `bad_frame`; unknown fields are stepped over. Of a field
 * that comes twice the last one counts.
 */
export class Message<F extends Fields> implements Kind<ReadFields<F> | undefined, WriteFields<F>> {
  readonly wire = 2;
  readonly zero = undefined;
  readonly name: string;
  readonly fields: F;
  readonly #byNumber: (readonly [name: string, field: Field<unknown, never>] | undefined)[] = [];
  /** The fields, last first: they are written from the end. */
  readonly #backwards: readonly (readonly [name: string, field: Field<unknown, never>])[];
  readonly #empty: Record<string, unknown> = {};

  constructor(name: string, fields: F) {
    this.name = name;
    this.fields = fields;
    const entries = Object.entries(fields);
    for (const entry of entries) {
      const [fieldName, { no, rule, kind }] = entry;
      this.#byNumber[no] = entry;
      this.#empty[fieldName] = rule === 'many' ? NONE : rule === 'one' ? kind.zero : undefined;
    }
    this.#backwards = [...entries].sort(([, a], [, b]) => b.no - a.no);
  }

  /** The message's bytes, in a fresh buffer. */
  encode(value: WriteFields<F>): Uint8Array {
    const out = new Writer();
    this.writeFields(out, value);
    return out.written;
  }

  /** The message in these bytes. Its `bytes` are views of them: keep them only by copying. */
  decode(bytes: Uint8Array): ReadFields<F> {
    return this.#readFields(new Reader(bytes));
  }

  /** Writes the message without its length, ahead of what is written. */
  writeFields(out: Writer, value: WriteFields<F>): void {
    const values = value as Readonly<Record<string, unknown>>;
    for (const [name, { no, rule, kind }] of this.#backwards) {
      const field = values[name];
      if (field === undefined) continue;
      if (rule === 'many') writeMany(out, no, kind, field as readonly unknown[]);
      else if (rule === 'maybe' || !kind.isZero(field)) {
        kind.write(out, field);
        out.varint((no << 3) | kind.wire);
      }
    }
  }

  isZero(): boolean {
    return false;
  }

  write(out: Writer, value: WriteFields<F>): void {
    const before = out.length;
    this.writeFields(out, value);
    out.varint(out.length - before);
  }

  read(from: Reader): ReadFields<F> {
    const read = { ...this.#empty };
    from.within(() => this.#readField(from, read));
    return read as ReadFields<F>;
  }

  #readFields(from: Reader): ReadFields<F> {
    const read = { ...this.#empty };
    while (from.more) this.#readField(from, read);
    return read as ReadFields<F>;
  }

  #readField(from: Reader, read: Record<string, unknown>): void {
    const tag = from.varint();
    const wire = tag & 7;
    const no = tag >>> 3;
    if (no === 0 || from.high > 0) throw malformed('a field has no number');
    const known = this.#byNumber[no];
    if (!known) return from.skip(wire);
    const [name, { rule, kind }] = known;
    if (rule === 'many' && wire === 2 && kind.wire === 0) {
      from.within(() => add(read, name, kind.read(from)));
    } else if (wire !== kind.wire) {
      throw malformed(`its field ${no} has wire type ${wire}`);
    } else if (rule === 'many') {
      add(read, name, kind.read(from));
    } else {
      read[name] = kind.read(from);
    }
  }
}

function add(read: Record<string, unknown>, name: string, value: unknown): void {
  if (read[name] === NONE) read[name] = [value];
  else (read[name] as unknown[]).push(value);
}

/** Numbers go packed, in one field; everything else in a field each. */
function writeMany(out: Writer, no: number, kind: Kind<unknown, unknown>, values: readonly unknown[]): void {
  if (values.length === 0) return;
  const before = out.length;
  for (let index = values.length - 1; index >= 0; index -= 1) {
    kind.write(out, values[index]);
    if (kind.wire === 2) out.varint((no << 3) | 2);
  }
  if (kind.wire === 0) {
    out.varint(out.length - before);
    out.varint((no << 3) | 2);
  }
}

/** A `string`. */
export const text: Kind<string> = {
  wire: 2,
  zero: '',
  isZero: (value) => value === '',
  write: (out, value) => out.text(value),
  read: (from) => from.text(),
};

/** `bytes`: a view of what is decoded. */
export const bytes: Kind<Uint8Array> = {
  wire: 2,
  zero: NO_BYTES,
  isZero: (value) => value.length === 0,
  write: (out, value) => out.bytes(value),
  read: (from) => from.bytes(),
};

/** A `bool`. */
export const bool: Kind<boolean> = {
  wire: 0,
  zero: false,
  isZero: (value) => !value,
  write: (out, value) => out.varint(value ? 1 : 0),
  read: (from) => (from.varint() | from.high) !== 0,
};

/** An `int32`, or an enum. */
export const int32: Kind<number> = {
  wire: 0,
  zero: 0,
  isZero: (value) => value === 0,
  write: (out, value) => out.varint(value, value < 0 ? -1 : 0),
  read: (from) => from.varint() | 0,
};

/** An `int64` whose values a number holds exactly: positions, times. Beyond ±(2^53 − 1) is malformed. */
export const int53: Kind<number> = {
  wire: 0,
  zero: 0,
  isZero: (value) => value === 0,
  write: (out, value) => out.varint(value, Math.floor(value / TWO_TO_32)),
  read: (from) => {
    from.varint();
    const value = (from.high | 0) * TWO_TO_32 + from.low;
    if (!Number.isSafeInteger(value)) throw malformed('a number is beyond 2^53');
    return value;
  },
};

/** An `int64` that is a user: all 64 bits count, so it is decimal text. Encoding throws on what is no decimal integer. */
export const userId: Kind<UserId> = {
  wire: 0,
  zero: '0' as UserId,
  isZero: (value) => value === '0',
  write: (out, value) => {
    const bits = BigInt.asUintN(64, BigInt(value));
    out.varint(Number(bits & 0xffffffffn), Number(bits >> 32n));
  },
  read: (from) => {
    from.varint();
    return BigInt.asIntN(64, (BigInt(from.high) << 32n) | BigInt(from.low)).toString() as UserId;
  },
};

/** A field that has its kind's zero where it was not sent. */
export function one<R, W>(no: number, kind: Kind<R, W>): Field<R, W> {
  return { no, rule: 'one', kind: kind as Kind<unknown, unknown> };
}

/** A field that is undefined where it was not sent: an `optional` one, or a message. */
export function maybe<R, W>(no: number, kind: Kind<R, W>): Field<R | undefined, W> {
  return { no, rule: 'maybe', kind: kind as Kind<unknown, unknown> };
}

/** A `repeated` field. */
export function many<R, W>(no: number, kind: Kind<R, W>): Field<readonly NonNullable<R>[], readonly W[]> {
  return { no, rule: 'many', kind: kind as Kind<unknown, unknown> };
}
