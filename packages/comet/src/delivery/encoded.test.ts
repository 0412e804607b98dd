import { describe, expect, test } from '@jest/globals';
import { Deliver } from '@halley/protocol/client/bodies';
import { plainFrame } from '@halley/protocol/client/compression';
import { decodeMessage, unpackRaw } from '@halley/protocol/decoder';
import { encodeFrames, type Frame, pushFrame } from '@halley/protocol/frame';
import type { UserId } from '@halley/protocol/ids';
import { inflateRaw } from '@halley/service/raw-deflate';

import { encodePushes, SharedPush } from './encoded.js';
import { type Encoded, Format } from './format.js';
import { outgoing, outgoingProto } from './outgoing.js';

const goim = (...pushes: Parameters<typeof encodePushes>[0]) => {
  const encoded = encodePushes(pushes);
  return { tcp: encoded.bytes(0), websocket: encoded.bytes(Format.WebSocket), frames: encoded.frames(0) };
};

describe('encoding pushes', () => {
  test('the bytes are those of the protocol', () => {
    const { tcp, websocket } = goim(outgoing(1_000, Buffer.from('hello')));
    expect(Buffer.from(tcp).toString('hex')).toBe('0000001500100001000003e80000000068656c6c6f');
    expect(Buffer.from(websocket).toString('hex')).toContain(Buffer.from(tcp).toString('hex'));
  });

  test('both variants share one allocation', () => {
    const { tcp, websocket } = goim(outgoing(1, Buffer.alloc(1_000)));
    expect(tcp.buffer).toBe(websocket.buffer);
  });

  test('ready-made frames of op 9 are joined as they are, in order', () => {
    const made = encodeFrames([pushFrame(5, Buffer.from('x')), pushFrame(6, Buffer.from('y'))]);
    const raw = outgoingProto({ ver: 1, op: 9, seq: 0, body: made }, 77);
    expect(raw).toMatchObject({ filterOp: 77, frames: 2 });
    const { tcp, frames } = goim(outgoing(4, Buffer.from('w')), raw);
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
      const { websocket, tcp } = goim(outgoing(7, Buffer.alloc(size, 3)));
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

/** Decodes what a connection of this format is sent. */
function framesOf(encoded: Encoded, format: number): Frame[] {
  const bytes = encoded.bytes(format);
  const payload =
    format & Format.WebSocket ? bytes.subarray(bytes[1] === 126 ? 4 : bytes[1] === 127 ? 10 : 2) : bytes;
  return decodeMessage(payload, { maxBodyBytes: 1_000_000, version2: true }).map((frame) =>
    plainFrame(frame, inflateRaw, 1_000_000),
  );
}

describe('encoding pushes for version 2', () => {
  const about = { id: 'm', acceptedAtMs: 7, expireAtMs: 9, traceparent: 't', sender: undefined };
  const version2 = Array.from({ length: 16 }, (_, format) => format).filter(
    (format) => format & Format.Version2,
  );

  test.each(version2)('format %i brings them in one frame, as entries without a position', (format) => {
    const large = Buffer.alloc(5_000, 'abc');
    const encoded = encodePushes([outgoing(1, Buffer.from('x'), about), outgoing(2, large)], 'r/a');
    const [frame, ...rest] = framesOf(encoded, format) as [Frame];
    expect(rest).toEqual([]);
    expect([frame.ver, frame.op, frame.seq, frame.flags]).toEqual([
      2,
      20,
      0,
      format & Format.Checksum ? 1 : 0,
    ]);
    const { stream, epoch, entries } = Deliver.decode(frame.body);
    expect([stream, epoch]).toEqual(['r/a', '']);
    expect(entries.map(({ id, operation, acceptedAtMs }) => [id, operation, acceptedAtMs])).toEqual([
      ['m', 1, 7],
      ['', 2, 0],
    ]);
    expect(Buffer.from(entries[1]?.body ?? []).equals(large)).toBe(true);
    if (format & Format.Deflated) expect(encoded.bytes(format).length).toBeLessThan(1_000);
  });

  test('each format is encoded once', () => {
    const encoded = encodePushes([outgoing(1, Buffer.from('x'))]);
    for (const format of [0, 1, ...version2]) expect(encoded.bytes(format)).toBe(encoded.bytes(format));
  });

  test('what the sender said of itself goes along', () => {
    const sender = { mid: '7' as UserId, key: 'k', clientId: 'c', toMid: '8' as UserId };
    const encoded = encodePushes([outgoing(1, Buffer.alloc(0), { ...about, sender })]);
    const [frame] = framesOf(encoded, Format.Version2) as [Frame];
    expect(Deliver.decode(frame.body).entries[0]).toMatchObject({
      fromMid: '7',
      fromKey: 'k',
      clientId: 'c',
      toMid: '8',
    });
  });

  test('frames of the protocol itself are for version 2 alone, and stand where they came', () => {
    const control = outgoing(32, Buffer.from('c'), undefined, true);
    const encoded = encodePushes([outgoing(1, Buffer.from('x')), control, outgoing(1, Buffer.from('y'))]);
    expect(framesOf(encoded, Format.Version2).map(({ op }) => op)).toEqual([20, 32, 20]);
    expect(encoded.frames(Format.Version2)).toBe(3);
    expect(decodeMessage(encoded.bytes(0)).map(({ op }) => op)).toEqual([1, 1]);
    expect(encoded.frames(0)).toBe(2);
    for (const format of [0, Format.WebSocket]) expect(encodePushes([control]).bytes(format)).toHaveLength(0);
  });

  test('frames that were ready-made become entries', () => {
    const body = encodeFrames([pushFrame(5, Buffer.from('x')), pushFrame(6, Buffer.from('y'))]);
    const encoded = encodePushes([outgoingProto({ ver: 1, op: 9, seq: 0, body }, 77)]);
    const [frame] = framesOf(encoded, Format.Version2) as [Frame];
    expect(Deliver.decode(frame.body).entries.map(({ operation }) => operation)).toEqual([5, 6]);
  });
});

describe('a push to streams', () => {
  const shared = (): SharedPush =>
    new SharedPush({
      epoch: 'e',
      position: 9,
      operation: 5,
      body: Buffer.from('x'),
      expired: false,
      about: undefined,
    });

  test('is deflated once for all its streams', () => {
    const body = Buffer.alloc(5_000, 'abc');
    const fields = { epoch: 'e', position: 9, operation: 5, body, expired: false, about: undefined };
    const push = new SharedPush(fields);
    for (const stream of ['u/1', 'u/2']) {
      const encoded = push.delivered(stream, 8);
      expect(encoded.bytes(Format.Version2 | Format.Deflated).length).toBeLessThan(500);
      const [frame] = framesOf(encoded, Format.Version2 | Format.Deflated) as [Frame];
      expect(Deliver.decode(frame.body)).toMatchObject({ stream, entries: [{ body }] });
    }
  });

  test('is one frame for all connections that stand at the same place', () => {
    const push = shared();
    expect(push.delivered('u/1', 3)).toBe(push.delivered('u/1', 3));
    expect(push.delivered('u/1', 4)).not.toBe(push.delivered('u/1', 3));
    const [frame] = framesOf(push.delivered('u/2', 8), Format.Version2) as [Frame];
    expect(Deliver.decode(frame.body)).toMatchObject({
      stream: 'u/2',
      epoch: 'e',
      after: 8,
      through: 9,
      entries: [{ position: 9, operation: 5 }],
    });
  });
});
