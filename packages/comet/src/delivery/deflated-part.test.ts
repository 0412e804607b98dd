import { randomBytes } from 'node:crypto';

import { describe, expect, test } from '@jest/globals';
import { inflateOnStream } from '@halley/protocol/client/compression';
import { FrameFlag, frameV2 } from '@halley/protocol/frame-v2';
import { inflateRaw } from '@halley/service/raw-deflate';

import { DeflatedPart } from './deflated-part.js';

const PART = Buffer.alloc(5_000, 'a message to many ');

describe('a part of many bodies', () => {
  test.each([
    ['alone', '', ''],
    ['ahead of something', '', 'behind'],
    ['behind something', 'ahead', ''],
    ['in the middle', 'ahead', 'behind'],
    ['behind the same bytes', PART.toString(), 'behind'],
  ])('%s is inflated to what it was, by either inflater', async (_where, ahead, behind) => {
    const body = Buffer.concat([Buffer.from(ahead), PART, Buffer.from(behind)]);
    const frame = new DeflatedPart(PART).within(frameV2(20, 0, body));
    expect(frame.flags).toBe(FrameFlag.Deflated);
    expect(frame.body.length).toBeLessThan(body.length);
    expect(Buffer.from(inflateRaw(frame.body, body.length)).equals(body)).toBe(true);
    expect(Buffer.from(await inflateOnStream(frame.body, body.length)).equals(body)).toBe(true);
  });

  test('that does not shrink, or is not there, is sent as it is', () => {
    const noise = randomBytes(2_000);
    for (const body of [noise, Buffer.from('something else')]) {
      const frame = frameV2(20, 0, body);
      expect(new DeflatedPart(noise).within(frame)).toBe(frame);
    }
  });

  test('stands in a body whose rest is too large to be stored: as it is', () => {
    const frame = frameV2(20, 0, Buffer.concat([Buffer.alloc(70_000, 'x'), PART]));
    expect(new DeflatedPart(PART).within(frame)).toBe(frame);
  });
});
