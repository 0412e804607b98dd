import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { decodeMessage, FrameDecoder, unpackRaw } from './decoder.js';
import { HalleyError } from './error.js';
import { encodeFrame, encodeFrames, encodeRaw, pushFrame, type Frame } from './frame.js';
import { encodeFramesV2, encodeFrameV2, FrameFlag, frameV2, frameV2Bytes } from './frame-v2.js';

/** Op 4, seq 1, body `abc`. */
const ABC = bytes('00000013 0010 0001 00000004 00000001 616263');
const BAD_HEADER_LENGTH = bytes('00000010 0011 0001 00000004 00000001');

describe('FrameDecoder', () => {
  test('a frame whole in one chunk is a view of the chunk, not a copy', () => {
    const [frame] = new FrameDecoder().push(ABC);
    expect(frame?.body.buffer).toBe(ABC.buffer);
    expect(frame?.body.byteOffset).toBe(ABC.byteOffset + 16);
  });

  test('whole frames on both sides of a cut one are views too', () => {
    const decoder = new FrameDecoder();
    const first = Buffer.concat([ABC, ABC.subarray(0, 18)]);
    const second = Buffer.concat([ABC.subarray(18), ABC]);
    const buffers = [...decoder.push(first), ...decoder.push(second)].map((frame) => frame.body.buffer);
    expect(buffers[0]).toBe(first.buffer);
    expect(buffers[1]).not.toBe(first.buffer);
    expect(buffers[1]).not.toBe(second.buffer);
    expect(buffers[2]).toBe(second.buffer);
  });

  test('a frame in pieces outlives the chunks that it came in', () => {
    const decoder = new FrameDecoder();
    const chunk = Buffer.alloc(1);
    const frames: Frame[] = [];
    for (const byte of [...ABC, ...ABC]) {
      chunk[0] = byte;
      decoder.push(chunk, frames);
    }
    expect(frames.map((frame) => Buffer.from(frame.body).toString())).toEqual(['abc', 'abc']);
  });

  test('a frame without a body is whole with the last byte of its header', () => {
    const decoder = new FrameDecoder();
    const heartbeat = bytes('00000010 0010 0001 00000002 00000007');
    expect(decoder.push(heartbeat.subarray(0, 15))).toEqual([]);
    expect(decoder.push(heartbeat.subarray(15))).toMatchObject([{ op: 2, seq: 7 }]);
    expect(decoder.pendingBytes).toBe(0);
  });

  test('a large announced length reserves no more than twice what has arrived', () => {
    const decoder = new FrameDecoder({ maxBodyBytes: 1_000_000 });
    const frame = encodeFrame(pushFrame(1000, new Uint8Array(1_000_000)));
    decoder.push(frame.subarray(0, 16));
    expect(decoder.reservedBytes).toBeLessThanOrEqual(64);
    let growths = 0;
    let reserved = decoder.reservedBytes;
    for (let at = 16; at + 100 < frame.length; at += 100) {
      expect(decoder.push(frame.subarray(at, at + 100))).toEqual([]);
      if (decoder.reservedBytes !== reserved) growths += 1;
      reserved = decoder.reservedBytes;
      expect(reserved).toBeLessThanOrEqual(2 * decoder.pendingBytes);
    }
    // Doubling: gathering costs linear time.
    expect(growths).toBeLessThan(16);
    expect(reserved).toBeLessThanOrEqual(frame.length);
  });

  test('nothing is held after a whole frame', () => {
    const decoder = new FrameDecoder();
    decoder.push(ABC.subarray(0, 17));
    decoder.push(ABC.subarray(17));
    expect(decoder.pendingBytes).toBe(0);
    expect(decoder.reservedBytes).toBe(0);
  });

  test('the frames ahead of a fault are handed over', () => {
    const frames: Frame[] = [];
    const chunk = Buffer.concat([ABC, ABC, BAD_HEADER_LENGTH, ABC]);
    expect(faultOf(() => new FrameDecoder().push(chunk, frames))).toMatchObject({ code: 'bad_frame' });
    expect(frames).toHaveLength(2);
  });

  test('a fault poisons: good frames behind it are not taken, the same fault is thrown again', () => {
    const decoder = new FrameDecoder();
    const fault = faultOf(() => decoder.push(BAD_HEADER_LENGTH));
    const frames: Frame[] = [];
    expect(faultOf(() => decoder.push(ABC, frames))).toBe(fault);
    expect(faultOf(() => decoder.push(new Uint8Array(0), frames))).toBe(fault);
    expect(frames).toEqual([]);
    expect(decoder.reservedBytes).toBe(0);
  });

  test('the limit is the one it was given', () => {
    const frame = encodeFrame(pushFrame(1000, new Uint8Array(11)));
    expect(new FrameDecoder({ maxBodyBytes: 11 }).push(frame)).toHaveLength(1);
    expect(faultOf(() => new FrameDecoder({ maxBodyBytes: 10 }).push(frame)).code).toBe('frame_too_large');
  });

  test('faults say what was read and what would be right', () => {
    expect(faultOf(() => new FrameDecoder().push(BAD_HEADER_LENGTH)).message).toBe(
      'headerLen is 17, not 16.',
    );
    const large = bytes('00001011 0010 0001 00000004 00000001');
    expect(faultOf(() => new FrameDecoder().push(large)).message).toBe('packLen is 4113, above 4112.');
  });
});

describe('version 2', () => {
  const request = encodeFrameV2(frameV2(18, 5, Buffer.from('abc'), FrameFlag.Checksum));

  test('who did not ask for it cannot send its frames', () => {
    const frames: Frame[] = [];
    const fault = faultOf(() => new FrameDecoder().push(Buffer.concat([ABC, request]), frames));
    expect(fault).toMatchObject({ code: 'bad_frame', message: 'headerLen is 20, not 16.' });
    expect(frames).toHaveLength(1);
    expect(faultOf(() => decodeMessage(request)).message).toBe('headerLen is 20, not 16.');
  });

  test('it is taken from when it was asked for, also where a header has begun', () => {
    for (let cut = 0; cut < 16; cut += 1) {
      const decoder = new FrameDecoder();
      expect(decoder.push(Buffer.concat([ABC, request.subarray(0, cut)]))).toHaveLength(1);
      decoder.acceptVersion2();
      expect(decoder.push(request.subarray(cut))).toMatchObject([{ ver: 2, op: 18, seq: 5, flags: 1 }]);
      expect(decoder.pendingBytes).toBe(0);
    }
  });

  test('a whole frame is a view, without its trailer', () => {
    const [frame] = new FrameDecoder({ version2: true }).push(request);
    expect(frame?.body.buffer).toBe(request.buffer);
    expect(Buffer.from(frame?.body as Uint8Array).toString()).toBe('abc');
  });

  test("a frame of goim's has no flags", () => {
    const [frame] = new FrameDecoder({ version2: true }).push(ABC);
    expect(Object.keys(frame as Frame)).toEqual(['ver', 'op', 'seq', 'body']);
  });

  test('any single bit that changed is found', () => {
    for (let bit = 0; bit < 8 * request.length; bit += 1) {
      const changed = Uint8Array.from(request);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      // But in what says that there is a checksum, and where it is.
      if (changed[17] !== 1 || changed[5] !== 20 || bit < 32) continue;
      expect(() => new FrameDecoder({ version2: true }).push(changed)).toThrow(HalleyError);
    }
  });

  test('a checksum that does not hold poisons, and the frames ahead of it are handed over', () => {
    const changed = Uint8Array.from(request);
    changed[20] = 0;
    const decoder = new FrameDecoder({ version2: true });
    const frames: Frame[] = [];
    const fault = faultOf(() => decoder.push(Buffer.concat([request, changed, request]), frames));
    expect(fault.code).toBe('corrupt_frame');
    expect(frames).toHaveLength(1);
    expect(faultOf(() => decoder.push(request))).toBe(fault);
    expect(decoder.reservedBytes).toBe(0);
  });

  test('frames come out as they went in, wherever the stream is cut', () => {
    const frame = fc
      .tuple(fc.integer(), fc.integer(), fc.uint8Array({ maxLength: 300 }), fc.nat(3))
      .map(([op, seq, body, flags]) => frameV2(op, seq, body, flags));
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat({ max: 2500 })), (sent, cuts) => {
        const stream = encodeFramesV2(sent);
        const decoder = new FrameDecoder({ version2: true });
        const received: Frame[] = [];
        const points = [0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length];
        points.sort((a, b) => a - b);
        for (let i = 1; i < points.length; i += 1) {
          decoder.push(stream.subarray(points[i - 1], points[i]), received);
          expect(decoder.reservedBytes).toBeLessThanOrEqual(Math.max(64, 2 * decoder.pendingBytes));
        }
        expect(received).toEqual(sent);
        expect(stream).toHaveLength(sent.reduce((sum, one) => sum + frameV2Bytes(one), 0));
        if (sent.length > 0) expect(decodeMessage(stream, { version2: true })).toEqual(sent);
      }),
    );
  });
});

describe('decodeMessage', () => {
  test('bodies are views of the message', () => {
    const [frame] = decodeMessage(ABC);
    expect(frame?.body.buffer).toBe(ABC.buffer);
  });

  test('the frames ahead of a fault are handed over', () => {
    const frames: Frame[] = [];
    const message = Buffer.concat([ABC, ABC, ABC.subarray(0, 17)]);
    expect(faultOf(() => decodeMessage(message, {}, frames)).code).toBe('bad_frame');
    expect(frames).toHaveLength(2);
  });

  test('never reads past its message into the buffer behind it', () => {
    const slab = Buffer.concat([bytes('00001010 0010 0001 00000004 00000001'), Buffer.alloc(8192, 'secret')]);
    expect(faultOf(() => decodeMessage(slab.subarray(0, 16))).code).toBe('bad_frame');
  });
});

describe('unpackRaw', () => {
  test('unpacks 50,000 nested batches without exhausting the stack', () => {
    const levels = 50_000;
    const nested = Buffer.alloc(16 * levels + ABC.length);
    for (let level = 0; level < levels; level += 1) {
      nested.writeInt32BE(nested.length - 16 * level, 16 * level);
      nested.set([0, 16, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0], 16 * level + 4);
    }
    nested.set(ABC, 16 * levels);
    const [frame] = decodeMessage(nested, { maxBodyBytes: nested.length });
    expect(unpackRaw(frame as Frame)).toMatchObject([{ op: 4, seq: 1 }]);
  });
});

describe('round trips', () => {
  const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const frame = fc.record({
    ver: fc.integer({ min: -(2 ** 15), max: 2 ** 15 - 1 }),
    op: int32,
    seq: int32,
    body: fc.uint8Array({ maxLength: 300 }),
  });
  const frames = fc.array(frame, { maxLength: 8 });

  test('frames come out of the decoder as they went in, wherever the stream is cut', () => {
    fc.assert(
      fc.property(frames, fc.array(fc.nat({ max: 2500 })), (sent, cuts) => {
        const stream = encodeFrames(sent);
        const decoder = new FrameDecoder();
        const received: Frame[] = [];
        const points = [0, ...cuts.map((cut) => cut % (stream.length + 1)), stream.length];
        points.sort((a, b) => a - b);
        for (let i = 1; i < points.length; i += 1) {
          decoder.push(stream.subarray(points[i - 1], points[i]), received);
        }
        expect(received).toEqual(sent);
        expect(decoder.pendingBytes).toBe(0);
      }),
    );
  });

  test('a batch unpacks to the frames that it was made of', () => {
    const unwrapped = fc.array(
      frame.filter(({ op }) => op !== 9),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(unwrapped, (sent) => {
        const message = decodeMessage(encodeRaw(sent), { maxBodyBytes: 10_000 });
        expect(message).toHaveLength(1);
        expect(message.flatMap(unpackRaw)).toEqual(sent);
      }),
    );
  });
});

function bytes(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex');
}

/** The HalleyError that the call throws; anything else that it does fails the test. */
function faultOf(call: () => unknown): HalleyError {
  try {
    call();
  } catch (error) {
    if (error instanceof HalleyError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
