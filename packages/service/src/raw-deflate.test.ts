import { readFileSync } from 'node:fs';

import { describe, expect, test } from '@jest/globals';

import { inflateOnStream, type Inflate } from '@halley/protocol/client/compression';
import { HalleyError } from '@halley/protocol/error';

import { deflateRaw, inflateRaw } from './raw-deflate.js';

type Hex = string | readonly { readonly repeat: string; readonly times: number }[];

interface Vector {
  readonly name: string;
  readonly body: string;
  readonly plain?: Hex;
  readonly error?: string;
}

const file = new URL('../../../docs/protocol/vectors/v2-deflate.json', import.meta.url);
const { vectors } = JSON.parse(readFileSync(file, 'utf8')) as { vectors: Vector[] };
const inflaters: readonly (readonly [
  string,
  (...of: Parameters<Inflate>) => Uint8Array | Promise<Uint8Array>,
])[] = [
  ['zlib', inflateRaw],
  ['web streams', inflateOnStream],
];

describe.each(inflaters)('docs/protocol/vectors/v2-deflate.json on %s', (_, inflate) => {
  test.each(vectors)('$name', async ({ body, plain, error }) => {
    const outcome = await Promise.resolve()
      .then(() => inflate(Buffer.from(body, 'hex'), 4096))
      .then(hex, (thrown: unknown) => {
        if (thrown instanceof HalleyError) return { error: thrown.code };
        throw thrown;
      });
    const right = [
      ...(plain === undefined ? [] : [fromHex(plain)]),
      ...(error === undefined ? [] : [{ error }]),
    ];
    expect(right).toContainEqual(outcome);
  });
});

test('what is compressed comes back', () => {
  const body = Buffer.from('abc'.repeat(1000));
  const deflated = deflateRaw(body);
  expect(deflated.length).toBeLessThan(body.length);
  expect(hex(inflateRaw(deflated, body.length))).toBe(body.toString('hex'));
});

test('zlib sees what is behind the stream', () => {
  expect(() => inflateRaw(Buffer.from('030000', 'hex'), 10)).toThrow('behind');
});

test('an empty body is within a limit of nothing', () => {
  expect(inflateRaw(Buffer.from('0300', 'hex'), 0)).toHaveLength(0);
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function fromHex(value: Hex): string {
  return typeof value === 'string' ? value : value.map(({ repeat, times }) => repeat.repeat(times)).join('');
}
