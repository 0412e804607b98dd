import type { UserId } from '@halley/protocol/ids';
import { describe, expect, test } from '@jest/globals';

import { key, makePush } from './contract-fixture.js';
import { decodeContent, encodeContent } from './entry-codec.js';

/** What was stored of a push before entries had senders. */
const STORED =
  '01' +
  '00000004' + // operation
  '408f480000000000' + // accepted at 1,001
  '0000000000000000' + // never expires
  '00000002' +
  Buffer.from('id').toString('hex') +
  '00000006' +
  Buffer.from('orders').toString('hex') +
  '00000000' +
  Buffer.from('body').toString('hex');

describe('the content of an entry', () => {
  const push = makePush(1, ['u/1'], { id: 'id', acceptedAtMs: 1_001, body: Buffer.from('body') });

  test('that a business pushed is stored as it was before clients sent any, and read', () => {
    expect(encodeContent(push).toString('hex')).toBe(STORED);
    const { position: _, digest, targets, ...content } = push;
    expect([digest, targets.length]).toEqual(['of id', 1]);
    expect(decodeContent(Buffer.from(STORED, 'hex'))).toStrictEqual(content);
  });

  test('that a client sent tells who', () => {
    const sender = { mid: '7' as UserId, key: key('web'), clientId: 'c1', toMid: '8' as UserId };
    const content = decodeContent(encodeContent({ ...push, sender }));
    expect(content).toMatchObject({ sender, body: Buffer.from('body') });
  });

  test('keeps what was asked for, and no more', () => {
    const sender = { mid: '7' as UserId, key: key('web'), clientId: 'c1', toMid: '8' as UserId };
    for (const options of [
      { collapseKey: 'ä' },
      { retentionMs: 5 },
      { collapseKey: 'k', retentionMs: 2 ** 50 },
    ])
      for (const fields of [options, { ...options, sender }]) {
        const { position: _, digest: _digest, targets: _targets, ...content } = { ...push, ...fields };
        expect(decodeContent(encodeContent({ ...push, ...fields }))).toStrictEqual(content);
      }
  });

  test('of an unknown layout is refused', () => {
    expect(() => decodeContent(Buffer.from(`05${STORED.slice(2)}`, 'hex'))).toThrow('unknown layout');
  });
});
