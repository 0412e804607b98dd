import { expect, test } from '@jest/globals';

import { messageFields, messageLine, plainToken } from './tail.js';

const at = new Date(2026, 0, 2, 3, 4, 5);
const frame = (body: Uint8Array) => ({ ver: 1, op: 1000, seq: 0, body });

test('the token keeps all 64 bits of the user id', () => {
  const token = plainToken({
    mid: '9223372036854775807',
    key: 'k',
    room: 'live://1',
    platform: 'web',
    accepts: [1000],
  });
  expect(token).toBe(
    '{"mid":9223372036854775807,"key":"k","room_id":"live://1","platform":"web","accepts":[1000]}',
  );
});

test('a message is a line', () => {
  expect(messageLine(frame(Buffer.from('héllo')), at)).toBe('03:04:05 op 1000 héllo');
});

test('control characters of a body do not reach the terminal', () => {
  const line = messageLine(frame(Buffer.from('a\u001b[2Jb\nc\u202e')), at);
  expect(line).toBe('03:04:05 op 1000 a\\u001b[2Jb\\u000ac\\u202e');
});

test('bytes that are no text are shown in hexadecimal, and in base64 in JSON', () => {
  expect(messageLine(frame(Uint8Array.of(0xff, 0)), at)).toBe('03:04:05 op 1000 2 bytes: ff00');
  expect(messageFields(frame(Uint8Array.of(0xff, 0)))).toMatchObject({ op: 1000, base64: '/wA=' });
  expect(messageFields(frame(Buffer.from('x')))).toEqual({
    event: 'message',
    ver: 1,
    op: 1000,
    seq: 0,
    text: 'x',
  });
});
