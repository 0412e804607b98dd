import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

import { decodeMessage, FrameDecoder, unpackRaw } from './decoder.js';
import { HalleyError } from './error.js';
import { encodeFrames, encodeRaw, pushFrame, type Frame } from './frame.js';

/** Hex with spaces, or a list of it and of repeats. */
type Hex = string | readonly (string | { readonly repeat: string; readonly times: number })[];

interface FrameVector {
  readonly ver: number;
  readonly op: number;
  readonly seq: number;
  readonly body: Hex;
}

interface DecodeVector {
  readonly name: string;
  readonly in: Hex;
  readonly frames?: readonly FrameVector[];
  readonly pending?: number;
  readonly error?: string;
}

interface PushVector {
  readonly name: string;
  readonly pushes: readonly { readonly op: number; readonly body: Hex }[];
  readonly tcp: Hex;
  readonly websocket: Hex;
}

describe('docs/protocol/vectors/stream.json', () => {
  for (const vector of load<DecodeVector>('stream')) {
    test(vector.name, () => {
      const bytes = fromHex(vector.in);
      const expected = { frames: (vector.frames ?? []).map(fromVector), error: vector.error };
      for (const chunkBytes of [bytes.length || 1, 1, 2, 3, 7, 16, 17, 1000]) {
        const decoder = new FrameDecoder();
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
  }
});

describe('docs/protocol/vectors/message.json', () => {
  for (const vector of load<DecodeVector>('message')) {
    test(vector.name, () => {
      const read = (): Frame[] => decodeMessage(fromHex(vector.in));
      expect(vector.error === undefined ? read().map(plain) : codeOf(read)).toEqual(
        vector.error ?? vector.frames?.map(fromVector),
      );
    });
  }
});

describe('docs/protocol/vectors/batch.json', () => {
  for (const vector of load<DecodeVector>('batch')) {
    test(vector.name, () => {
      const read = (): Frame[] => decodeMessage(fromHex(vector.in)).flatMap(unpackRaw);
      expect(vector.error === undefined ? read().map(plain) : codeOf(read)).toEqual(
        vector.error ?? vector.frames?.map(fromVector),
      );
    });
  }
});

describe('docs/protocol/vectors/push.json', () => {
  for (const vector of load<PushVector>('push')) {
    test(vector.name, () => {
      const frames = vector.pushes.map(({ op, body }) => pushFrame(op, fromHex(body)));
      expect(toHex(encodeFrames(frames))).toBe(toHex(fromHex(vector.tcp)));
      expect(toHex(encodeRaw(frames))).toBe(toHex(fromHex(vector.websocket)));
    });
  }
});

function load<Vector>(name: string): readonly Vector[] {
  const file = new URL(`../../../docs/protocol/vectors/${name}.json`, import.meta.url);
  const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] };
  return vectors;
}

function fromHex(hex: Hex): Buffer {
  const parts = typeof hex === 'string' ? [hex] : hex;
  const text = parts.map((part) => (typeof part === 'string' ? part : part.repeat.repeat(part.times)));
  return Buffer.from(text.join('').replaceAll(' ', ''), 'hex');
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function fromVector(frame: FrameVector): object {
  return { ...frame, body: toHex(fromHex(frame.body)) };
}

function plain(frame: Frame): object {
  return { ...frame, body: toHex(frame.body) };
}

/** The code of what the call throws; undefined when it throws nothing. Anything but a HalleyError is thrown on. */
function codeOf(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof HalleyError) return error.code;
    throw error;
  }
}
