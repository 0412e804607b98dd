import { expect, test } from '@jest/globals';

import { connectsAgain, endText, messageFields, messageLine, plainToken } from './tail.js';

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

test.each([
  ['a refused token over TCP', { reached: 'server' }, 'tcp', false, false],
  ['the same behind a session', { reached: 'server' }, 'tcp', true, true],
  ['a server that is not there', { reached: 'nothing' }, 'tcp', false, true],
  ['the end of a session', { reached: 'session' }, 'tcp', true, true],
  ['a broken WebSocket', { reached: 'server' }, 'websocket', false, true],
  ['a refused token over WebSocket', { reached: 'server', code: 3_500 }, 'websocket', false, false],
  ['no auth in time over WebSocket', { reached: 'server', code: 3_003 }, 'websocket', false, true],
] as const)('after %s it ends or tries again', (_name, end, transport, hadSession, again) => {
  expect(connectsAgain({ reason: 'x', ...end }, transport, hadSession)).toBe(again);
});

test('whether the token was refused is asked only where no code says it', () => {
  expect(endText({ reached: 'server', reason: 'The token is no valid one.', code: 3_500 }, 'a')).toBe(
    'closed before auth was answered: The token is no valid one. (3500)',
  );
  expect(endText({ reached: 'server', reason: 'closed' }, 'a')).toBe(
    'closed before auth was answered: closed; was the token refused?',
  );
});
