import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

import { decodeMessage, FrameDecoder } from '../decoder.js';
import { HalleyError } from '../error.js';
import type { Frame } from '../frame.js';
import { encodeFramesV2, isFrameV2 } from '../frame-v2.js';
import { readAuth } from './auth.js';
import * as bodies from './bodies.js';
import { bytes as bytesKind, type Fields, type Message } from './message.js';

type Hex = string | readonly (string | { readonly repeat: string; readonly times: number })[];
type Json = Readonly<Record<string, unknown>>;

interface StreamVector {
  readonly name: string;
  readonly in: Hex;
  readonly frames?: readonly (Json & { readonly body: Hex })[];
  readonly pending?: number;
  readonly error?: string;
}

interface MessageVector {
  readonly name: string;
  readonly op: keyof typeof bodies.BODIES;
  readonly message: string;
  readonly value: Json;
  readonly body: string;
  readonly decode?: true;
  readonly error?: string;
}

interface AuthVector {
  readonly name: string;
  readonly text: string;
  readonly error?: string;
}

describe('docs/protocol/vectors/v2-stream.json', () => {
  for (const vector of load<StreamVector>('v2-stream')) {
    const bytes = fromHex(vector.in);
    const expected = {
      frames: (vector.frames ?? []).map((frame) => ({ ...frame, body: fromHex(frame.body).toString('hex') })),
      error: vector.error,
    };
    test(vector.name, () => {
      for (const chunkBytes of [bytes.length || 1, 1, 2, 3, 7, 16, 17, 19, 20, 21, 24, 1000]) {
        const decoder = new FrameDecoder({ version2: true });
        const frames: Frame[] = [];
        const error = codeOf(() => {
          for (let at = 0; at < bytes.length; at += chunkBytes) {
            decoder.push(bytes.subarray(at, at + chunkBytes), frames);
          }
        });
        expect({ frames: frames.map(plain), error }).toEqual(expected);
        expect(decoder.pendingBytes).toBe(vector.pending ?? 0);
      }
    });
    test(`${vector.name}, in one message`, () => {
      const frames: Frame[] = [];
      const error = codeOf(() => decodeMessage(bytes, { version2: true }, frames));
      expect({ frames: frames.map(plain), error }).toEqual(
        vector.pending ? { frames: [], error: 'bad_frame' } : expected,
      );
    });
  }

  test('frames that were read are written as they came, where they say nothing in reserved', () => {
    let written = 0;
    for (const vector of load<StreamVector>('v2-stream')) {
      if (vector.error || vector.pending || vector.name.startsWith('reserved')) continue;
      const bytes = fromHex(vector.in);
      const frames = decodeMessage(bytes, { version2: true });
      if (!frames.every(isFrameV2)) continue;
      expect(Buffer.from(encodeFramesV2(frames)).toString('hex')).toBe(bytes.toString('hex'));
      written += frames.length;
    }
    expect(written).toBeGreaterThan(8);
  });
});

describe('docs/protocol/vectors/v2-messages.json', () => {
  const vectors = load<MessageVector>('v2-messages');
  for (const vector of vectors) {
    test(`${vector.op}: ${vector.name}`, () => {
      const message = bodies.BODIES[vector.op] as unknown as Message<Fields>;
      expect(message.name).toBe(vector.message);
      const body = fromHex(vector.body);
      if (vector.error !== undefined) {
        expect(codeOf(() => message.decode(body))).toBe(vector.error);
        return;
      }
      const value = fromJson(message, vector.value);
      expect(message.decode(body)).toEqual(filled(message, value));
      if (!vector.decode)
        expect(Buffer.from(message.encode(value as Record<string, never>)).toString('hex')).toBe(vector.body);
    });
  }

  test('there is one of each operation', () => {
    expect(new Set(vectors.map(({ op }) => String(op)))).toEqual(new Set(Object.keys(bodies.BODIES)));
  });
});

describe('docs/protocol/vectors/v2-auth.json', () => {
  test.each(load<AuthVector>('v2-auth'))('$name', ({ name: _, text, error, ...asked }) => {
    const read = (): object => {
      const { token, ...rest } = readAuth(Buffer.from(text));
      return { ...rest, token: new TextDecoder().decode(token) };
    };
    if (error !== undefined) expect(codeOf(read)).toBe(error);
    else expect(read()).toEqual({ cursor: undefined, start: 0, deflate: false, checksum: false, ...asked });
  });
});

function load<Vector>(name: string): readonly Vector[] {
  const file = new URL(`../../../../docs/protocol/vectors/${name}.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] }).vectors;
}

function fromHex(hex: Hex): Buffer {
  const parts = typeof hex === 'string' ? [hex] : hex;
  const text = parts.map((part) => (typeof part === 'string' ? part : part.repeat.repeat(part.times)));
  return Buffer.from(text.join('').replaceAll(' ', ''), 'hex');
}

function plain(frame: Frame): object {
  return { ...frame, body: Buffer.from(frame.body).toString('hex') };
}

/** The value of a vector with its bytes as bytes. */
function fromJson(message: Message<Fields>, value: Json): Json {
  return mapFields(message, value, (kind, field) => {
    if ((kind as unknown) === bytesKind) return new Uint8Array(fromHex(field as string));
    return isMessage(kind) ? fromJson(kind, field as Json) : field;
  });
}

/** The value with every field that decoding answers. */
function filled(message: Message<Fields>, value: Json): Json {
  const some = mapFields(message, value, (kind, field) =>
    isMessage(kind) ? filled(kind, field as Json) : field,
  );
  return { ...message.decode(new Uint8Array(0)), ...some };
}

function mapFields(
  message: Message<Fields>,
  value: Json,
  map: (kind: unknown, field: unknown) => unknown,
): Json {
  const entries = Object.entries(value).map(([name, field]) => {
    const kind = message.fields[name]?.kind;
    if (!kind) throw new Error(`${message.name} has no ${name}`);
    return [name, Array.isArray(field) ? field.map((one) => map(kind, one)) : map(kind, field)];
  });
  return Object.fromEntries(entries) as Json;
}

function isMessage(kind: unknown): kind is Message<Fields> {
  return typeof kind === 'object' && kind !== null && 'fields' in kind;
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof HalleyError) return error.code;
    throw error;
  }
}
