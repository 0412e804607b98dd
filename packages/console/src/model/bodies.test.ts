import { expect, test } from '@jest/globals';

import { decodeBody, encodeBody } from './bodies.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('what was written is read', () => {
  expect(decodeBody(bytes(encodeBody({ name: 'Bob', text: 'hi' })))).toMatchObject({
    name: 'Bob',
    text: 'hi',
  });
  expect(decodeBody(bytes(encodeBody({ at: 5 })))).toMatchObject({ at: 5 });
});

test.each(['hello', '{"a":1}', '[1]', '12', 'null', '{"text":1}', '{', ''])(
  'what is of no page is text as it stands: %s',
  (text) => {
    expect(decodeBody(bytes(text))).toEqual({ text });
  },
);

test('fields of a wrong type are left out', () => {
  expect(decodeBody(bytes('{"name":{},"text":"x","at":"1","stopped":"yes"}'))).toEqual({
    text: 'x',
    stopped: false,
    answer: false,
  });
});
