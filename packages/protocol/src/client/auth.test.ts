import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { readAuth, writeAuth } from './auth.js';
import { Start } from './bodies.js';

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

test('version 2 is asked for however JSON spells it', () => {
  const asked = [
    '{"ver":2,"mid":1}',
    ' {"mid":1, "ver" : 2}',
    '{"\\u0076er":2}',
    '{"mid":1}',
    '{"mid":1,"never":2}',
  ];
  const versions = asked.map((body) => readAuth(new TextEncoder().encode(body)).version);
  expect(versions).toEqual([2, 2, 2, 1, 1]);
});

test('the wishes go into a JSON token, the rest of which stays as it is', () => {
  const body = text(writeAuth(' { "mid": 9223372036854775807, "key": "k" }', { start: Start.Newest }));
  expect(body).toBe('{"ver":2,"start":"newest","mid": 9223372036854775807, "key": "k" }');
  expect(text(writeAuth('{ }'))).toBe('{"ver":2}');
});

test('another token is wrapped', () => {
  expect(text(writeAuth('a.b.c', { deflate: true }))).toBe('{"ver":2,"deflate":true,"token":"a.b.c"}');
});

test('what is written is read', () => {
  const wishes = fc.record({
    cursor: fc.option(fc.record({ epoch: fc.string(), position: fc.integer({ min: -1 }) }), {
      nil: undefined,
    }),
    start: fc.constantFrom(0, 1, 2),
    deflate: fc.boolean(),
    checksum: fc.boolean(),
  });
  fc.assert(
    fc.property(wishes, fc.string(), (wished, token) => {
      for (const sent of [`x${token}`, JSON.stringify({ mid: 1, key: token })]) {
        const { version, token: read, ...rest } = readAuth(writeAuth(sent, wished as never));
        expect({ version, ...rest }).toEqual({ version: 2, ...wished });
        if (sent.startsWith('x')) expect(text(read)).toBe(sent);
        else expect(JSON.parse(text(read))).toMatchObject(JSON.parse(sent) as object);
      }
    }),
  );
});

test('whatever bytes come, they are an auth or refused as a token', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array(),
        fc.json().map((json) => Buffer.from(json)),
      ),
      (body) => {
        expect(readAuth(body)).toMatchObject({ version: 1, token: body });
      },
    ),
  );
});
