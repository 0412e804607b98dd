import { protos } from '@halley/cluster/grpc/protos';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { decodeRecord } from './push-decoder.js';
import { recordCodec } from './push-record.js';

/** Every number of 64 bits, as the codec takes it: in decimal. */
const long = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(0n, 300n)).map(String);
const time = fc.maxSafeInteger();
const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const text = fc.oneof(fc.string({ unit: 'binary' }), fc.uuid());
const push = fc.record({
  id: text,
  operation: int,
  body: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  class: fc.constantFrom('CLASS_UNSPECIFIED', 'CLASS_DURABLE', 'CLASS_EPHEMERAL'),
  accepted_at_ms: time,
  expire_at_ms: time,
  users: fc.array(long),
  keys: fc.array(text),
  rooms: fc.array(text),
  everyone: fc.boolean(),
  speed: int,
  traceparent: text,
  caller: text,
  key_owners: fc.array(long),
  sender: fc.option(fc.record({ mid: long, key: text, client_id: text, to_mid: long })),
  control: fc.boolean(),
  collapse_key: text,
  retention_ms: time,
});

/** As the codec of the message type reads it, but times as numbers. */
const decoded = (bytes: Buffer): unknown[] =>
  recordCodec.decode(bytes).pushes.map((read) => ({
    ...read,
    accepted_at_ms: Number(read.accepted_at_ms),
    expire_at_ms: Number(read.expire_at_ms),
    retention_ms: Number(read.retention_ms),
  }));

describe('decoding a record', () => {
  test('gives what the codec of its message type gives', () => {
    fc.assert(
      fc.property(fc.array(push, { maxLength: 3 }), (pushes) => {
        const bytes = recordCodec.encode({ pushes } as Parameters<typeof recordCodec.encode>[0]);
        expect(decodeRecord(bytes)).toEqual(decoded(bytes));
      }),
      { numRuns: 40 },
    );
  });

  test('knows every field of a push and of its sender', () => {
    const fieldsOf = (type: { readonly type: object }): string[] =>
      (type.type as { field: { name: string }[] }).field.map(({ name }) => name);
    const [read] = decodeRecord(recordCodec.encode({ pushes: [{ sender: {} }] }));
    expect(Object.keys(read!).sort()).toEqual(fieldsOf(protos.halley.delivery.v1.Push).sort());
    expect(Object.keys(read!.sender!).sort()).toEqual(fieldsOf(protos.halley.delivery.v1.Sender).sort());
  });

  test('takes lists of numbers that are not packed, and passes over what it does not know', () => {
    const known = '3805 388701 7001';
    // Fields 25 and 26: a varint of ten bytes, and four bytes; 27: eight bytes; 28: a text.
    const unknown = 'c801ffffffffffffffffff01 d50101020304 d9010102030405060708 e201026162';
    const inner = Buffer.from((known + unknown).replaceAll(' ', ''), 'hex');
    const [read] = decodeRecord(
      Buffer.concat([Buffer.from([0x0a, inner.byteLength]), inner, Buffer.from([0x10, 1])]),
    );
    expect(read).toMatchObject({ users: ['5', '135'], key_owners: ['1'] });
  });

  test('any bytes are a record or are refused, and so is a record that is cut off', () => {
    const whole = recordCodec.encode({ pushes: [{ id: 'an id', users: [5], body: Buffer.from('body') }] });
    for (let length = 1; length < whole.byteLength; length += 1)
      expect(() => decodeRecord(whole.subarray(0, length))).toThrow(RangeError);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeRecord(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
          expect(String(error)).toMatch(/: (index out of range|invalid wire type|invalid varint encoding)$/);
        }
      }),
      { numRuns: 300 },
    );
  });
});
