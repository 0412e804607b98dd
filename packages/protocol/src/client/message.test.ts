import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import protobuf from 'protobufjs';

import { FrameDecoder } from '../decoder.js';
import { FrameFlag } from '../frame-v2.js';
import type { UserId } from '../ids.js';
import { OperationV2 } from '../operation.js';
import * as tables from './bodies.js';
import { encodeMessageFrame } from './encode.js';
import { bool, bytes, int32, int53, Message, text, userId, type Fields } from './message.js';

const PROTOS = fileURLToPath(new URL('../../../../protos', import.meta.url));
const root = new protobuf.Root();
root.resolvePath = (_origin, target) => path.join(PROTOS, target);
root.loadSync(['room', 'send', 'presence'].map((file) => `halley/client/v1/${file}.proto`)).resolveAll();
/** The class of its 64 bits, which its types leave open. */
const longs = protobuf.util.Long as unknown as { fromString(text: string): unknown };
const declared = root.lookup('halley.client.v1') as protobuf.Namespace;

const messages = Object.values(tables).filter(
  (table) => table instanceof Message,
) as unknown as Message<Fields>[];
const scalars = new Map<unknown, string>([
  [text, 'string'],
  [bytes, 'bytes'],
  [bool, 'bool'],
  [int32, 'int32'],
  [int53, 'int64'],
  [userId, 'int64'],
]);

describe('the tables are those of protos/halley/client/v1', () => {
  test('each message has one, and each table is a message', () => {
    const names = declared.nestedArray.filter((one) => one instanceof protobuf.Type).map(({ name }) => name);
    expect(messages.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
  });

  test.each(messages.map((message) => [message.name, message] as const))('%s', (name, message) => {
    const fields = declared.lookupType(name).fieldsArray.map((field) => ({
      name: field.name,
      no: field.id,
      rule: field.repeated
        ? 'many'
        : field.resolvedType instanceof protobuf.Type || field.options?.proto3_optional
          ? 'maybe'
          : 'one',
      type: field.resolvedType instanceof protobuf.Enum ? 'int32' : (field.resolvedType?.name ?? field.type),
    }));
    const own = Object.entries(message.fields).map(([fieldName, { no, rule, kind }]) => ({
      name: fieldName,
      no,
      rule,
      type: kind instanceof Message ? kind.name : scalars.get(kind),
    }));
    expect(own).toEqual(fields);
  });

  test.each([
    ['GapReason', tables.GapReason],
    ['HistoryOrder', tables.HistoryOrder],
    ['Outcome', tables.Outcome],
    ['Start', tables.Start],
  ])('the enum %s', (name, table) => {
    const values = declared.lookupEnum(name).valuesById;
    const prefix = `${name.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()}_`;
    const own = Object.entries(table).map(([key, value]) => [
      value,
      prefix + key.replaceAll(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase(),
    ]);
    expect(Object.fromEntries(own)).toEqual(values);
  });
});

describe('against another implementation', () => {
  test.each(messages.map((message) => [message.name, message] as const))('%s both ways', (name, message) => {
    const other = declared.lookupType(name);
    fc.assert(
      fc.property(valueOf(message), (value) => {
        const encoded = message.encode(value);
        const read = message.decode(encoded);
        expect(read).toEqual(message.decode(other.encode(forOther(message, value)).finish()));
        const seen = other.toObject(other.decode(encoded), { longs: String, defaults: true, arrays: true });
        expect(asOther(message, read)).toEqual(seen);
        // What was read is written again as it came.
        expect(Buffer.compare(message.encode(read as Record<string, never>), encoded)).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});

test('a frame around a message is one buffer, of its exact bytes, with its checksum', () => {
  const body = new Uint8Array(100_000).fill(7);
  for (const flags of [0, FrameFlag.Checksum]) {
    const frame = encodeMessageFrame(OperationV2.Deliver, 9, tables.Deliver, { entries: [{ body }] }, flags);
    const [decoded] = new FrameDecoder({ version2: true, maxBodyBytes: 200_000 }).push(frame);
    expect(decoded).toMatchObject({ ver: 2, op: 20, seq: 9, flags });
    const read = tables.Deliver.decode(decoded?.body as Uint8Array);
    expect(Buffer.compare(read.entries[0]?.body as Uint8Array, body)).toBe(0);
    // Nor is it copied when it is read.
    expect(read.entries[0]?.body.buffer).toBe(frame.buffer);
  }
});

test('a user that is no integer cannot be written, a number beyond 2^53 cannot be read', () => {
  expect(() => tables.AuthReply.encode({ mid: 'x' as UserId })).toThrow('BigInt');
  const beyond = tables.AuthReply.encode({ mid: '9007199254740992' as UserId });
  expect(tables.AuthReply.decode(beyond).mid).toBe('9007199254740992');
  // The same field as a position.
  expect(() => tables.TokenReply.decode(beyond)).toThrow('beyond 2^53');
});

test('what one message says does not stay for the next', () => {
  const first = tables.Ack.decode(tables.Ack.encode({ cursors: [{ stream: 'a' }] }));
  expect(first.cursors).toHaveLength(1);
  expect(tables.Ack.decode(new Uint8Array(0)).cursors).toEqual([]);
});

function valueOf(message: Message<Fields>): fc.Arbitrary<Record<string, never>> {
  const fields = Object.entries(message.fields).map(([name, { rule, kind }]) => {
    const single = scalarOf(kind);
    const value = rule === 'many' ? fc.array(single, { maxLength: 4 }) : single;
    return [name, fc.option(value, { nil: undefined })];
  });
  return fc.record(Object.fromEntries(fields) as Record<string, fc.Arbitrary<never>>);
}

function scalarOf(kind: unknown): fc.Arbitrary<unknown> {
  if (kind instanceof Message) return valueOf(kind as Message<Fields>);
  if (kind === text) return fc.string({ unit: 'grapheme', maxLength: 20 });
  if (kind === bytes) return fc.uint8Array({ maxLength: 300 });
  if (kind === bool) return fc.boolean();
  if (kind === int32) return fc.oneof(fc.integer({ min: -1, max: 300 }), fc.integer());
  if (kind === int53) return fc.oneof(fc.integer({ min: -1, max: 300 }), fc.maxSafeInteger());
  return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(String);
}

/** The value as the other implementation takes it: without what is undefined, 64 bits as its Long. */
function forOther(message: Message<Fields>, value: Record<string, unknown>): Record<string, unknown> {
  return mapValue(message, value, (kind, one) => {
    if (kind === userId || kind === int53) return longs.fromString(String(one));
    return kind instanceof Message ? forOther(kind as Message<Fields>, one as Record<string, unknown>) : one;
  });
}

/** What was read, as the other implementation shows it: 64 bits as text. */
function asOther(message: Message<Fields>, value: Record<string, unknown>): Record<string, unknown> {
  const shown = mapValue(message, value, (kind, one) => {
    if (kind === int53) return String(one);
    if (kind === bytes) return Buffer.from(one as Uint8Array);
    return kind instanceof Message ? asOther(kind as Message<Fields>, one as Record<string, unknown>) : one;
  });
  for (const [name, { rule, kind }] of Object.entries(message.fields)) {
    if (rule === 'maybe' && kind instanceof Message) shown[name] ??= null;
  }
  return shown;
}

function mapValue(
  message: Message<Fields>,
  value: Record<string, unknown>,
  map: (kind: unknown, one: unknown) => unknown,
): Record<string, unknown> {
  const mapped: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(value)) {
    const kind = message.fields[name]?.kind;
    if (field === undefined) continue;
    mapped[name] = Array.isArray(field) ? field.map((one) => map(kind, one)) : map(kind, field);
  }
  return mapped;
}
