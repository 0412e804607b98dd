import { expect, test } from '@jest/globals';

import {
  encodeFrame,
  encodeFrames,
  frameBytes,
  pushFrame,
  readInt16,
  readInt32,
  replyFrame,
  writeInt32,
} from './frame.js';

const HELLO = new TextEncoder().encode('hello');

test('a push has version 1 and seq 0', () => {
  expect(hex(encodeFrame(pushFrame(1000, HELLO)))).toBe('0000001500100001000003e80000000068656c6c6f');
});

test('a reply echoes version and seq, and is empty unless a body is given', () => {
  const request = { ver: 7, op: 12, seq: -5, body: HELLO };
  expect(hex(encodeFrame(replyFrame(request, 13)))).toBe('00000010001000070000000dfffffffb');
  expect(hex(encodeFrame(replyFrame(request, 13, HELLO)))).toBe('00000015001000070000000dfffffffb68656c6c6f');
});

test('frames back to back take the sum of their bytes', () => {
  const frames = [pushFrame(1, HELLO), pushFrame(2, new Uint8Array(0))];
  expect(encodeFrames(frames)).toHaveLength(frames.reduce((sum, frame) => sum + frameBytes(frame), 0));
  expect(encodeFrames([])).toHaveLength(0);
});

test('integers are signed and exact at both ends of their range', () => {
  const out = new Uint8Array(6);
  for (const value of [0, 1, -1, 255, 256, -256, 2 ** 31 - 1, -(2 ** 31)]) {
    writeInt32(out, 1, value);
    expect(readInt32(out, 1)).toBe(value);
  }
  expect(readInt16(Uint8Array.of(0x80, 0x00), 0)).toBe(-32768);
  expect(readInt16(Uint8Array.of(0x7f, 0xff), 0)).toBe(32767);
  expect(readInt16(Uint8Array.of(0xff, 0xff), 0)).toBe(-1);
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
