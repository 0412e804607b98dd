import { deflateRawSync, inflateRawSync } from 'node:zlib';

import { expect, test } from '@jest/globals';
import fc from 'fast-check';

import { encodeFrame, pushFrame } from '../frame.js';
import { encodeFrameV2, FrameFlag, frameV2 } from '../frame-v2.js';
import { FrameDecoder } from '../decoder.js';
import { DEFLATE_FROM_BYTES, deflatedFrame, inflateOnStream, isDeflated, plainFrame } from './compression.js';

const inflate = (bytes: Uint8Array): Uint8Array => inflateRawSync(bytes);

test('bodies are compressed from 512 bytes on', () => {
  const body = new Uint8Array(DEFLATE_FROM_BYTES);
  expect(isDeflated(deflatedFrame(frameV2(20, 0, body.subarray(1)), deflateRawSync))).toBe(false);
  expect(isDeflated(deflatedFrame(frameV2(20, 0, body), deflateRawSync))).toBe(true);
});

test('what does not become smaller stays, and nothing is compressed twice', () => {
  const frame = frameV2(20, 0, new Uint8Array(1000));
  expect(deflatedFrame(frame, (body) => body)).toBe(frame);
  const once = deflatedFrame(frame, deflateRawSync);
  expect(deflatedFrame({ ...once, body: new Uint8Array(1000) }, deflateRawSync).body).toHaveLength(1000);
});

test('a compressed frame with a checksum comes back over the wire', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (body) => {
      const sent = frameV2(20, 0, Buffer.concat([body, body, body]), FrameFlag.Checksum);
      const wire = encodeFrameV2(deflatedFrame(sent, deflateRawSync));
      const [frame] = new FrameDecoder({ version2: true, maxBodyBytes: 9000 }).push(wire);
      const plain = plainFrame(frame ?? sent, inflate, 9000);
      expect(plain.flags).toBe(FrameFlag.Checksum);
      expect(Buffer.compare(plain.body, sent.body)).toBe(0);
    }),
  );
});

test("goim's frames are never inflated", () => {
  const [frame] = new FrameDecoder().push(encodeFrame(pushFrame(1, Uint8Array.of(1))));
  expect(frame && plainFrame(frame, inflate, 10)).toBe(frame);
});

test('inflating stops at the limit, of a body that would take gigabytes', async () => {
  const bomb = Buffer.concat(
    Array.from({ length: 4 }, () => deflateRawSync(Buffer.alloc(2 ** 22), { finishFlush: 2 })),
  );
  await expect(inflateOnStream(bomb, 1000)).rejects.toMatchObject({ code: 'frame_too_large' });
});
