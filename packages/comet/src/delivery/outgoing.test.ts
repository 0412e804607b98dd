import { describe, expect, test } from '@jest/globals';
import { decodeMessage, unpackRaw } from '@halley/protocol/decoder';
import { encodeFrames, type Frame, pushFrame } from '@halley/protocol/frame';

import { encodePushes, outgoing, outgoingProto } from './outgoing.js';

describe('encoding pushes', () => {
  test('the bytes are those of the protocol', () => {
    const { tcp, websocket } = encodePushes([outgoing(1_000, Buffer.from('hello'))]);
    expect(Buffer.from(tcp).toString('hex')).toBe('0000001500100001000003e80000000068656c6c6f');
    expect(Buffer.from(websocket).toString('hex')).toContain(Buffer.from(tcp).toString('hex'));
  });

  test('both variants share one allocation', () => {
    const { tcp, websocket } = encodePushes([outgoing(1, Buffer.alloc(1_000))]);
    expect(tcp.buffer).toBe(websocket.buffer);
  });

  test('ready-made frames of op 9 are joined as they are, in order', () => {
    const made = encodeFrames([pushFrame(5, Buffer.from('x')), pushFrame(6, Buffer.from('y'))]);
    const raw = outgoingProto({ ver: 1, op: 9, seq: 0, body: made }, 77);
    expect(raw).toMatchObject({ filterOp: 77, frames: 2 });
    const { tcp, frames } = encodePushes([outgoing(4, Buffer.from('w')), raw]);
    expect(frames).toBe(3);
    expect(decodeMessage(tcp).map(({ op, body }) => `${op}${Buffer.from(body).toString()}`)).toEqual([
      '4w',
      '5x',
      '6y',
    ]);
  });

  test('op 9 whose body is no frames is refused', () => {
    const proto = { ver: 1, op: 9, seq: 0, body: Buffer.from('nonsense') };
    expect(() => outgoingProto(proto, 1)).toThrow('whole frames');
  });

  test.each([0, 50, 93, 94, 125, 126, 65_519, 65_520, 200_000])(
    'a WebSocket message with a body of %i bytes has the shortest header that says its length',
    (size) => {
      const { websocket, tcp } = encodePushes([outgoing(7, Buffer.alloc(size, 3))]);
      const payloadBytes = 16 + tcp.length;
      const view = Buffer.from(websocket);
      expect(view[0]).toBe(0x82);
      const [header, length] =
        payloadBytes <= 125
          ? [2, view.readUInt8(1)]
          : payloadBytes <= 65_535
            ? [4, view.readUInt16BE(2)]
            : [10, Number(view.readBigUInt64BE(2))];
      expect(length).toBe(payloadBytes);
      expect(view.length).toBe(header + payloadBytes);
      const [raw] = decodeMessage(view.subarray(header), { maxBodyBytes: 1_000_000 });
      expect(raw).toMatchObject({ ver: 1, op: 9, seq: 0 });
      expect(unpackRaw(raw as Frame)).toHaveLength(1);
    },
  );
});
