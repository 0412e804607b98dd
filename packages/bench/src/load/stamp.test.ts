import { describe, expect, it } from '@jest/globals';

import {
  everyoneSender,
  kindOf,
  readStamp,
  roomSender,
  SenderKind,
  STAMP_BYTES,
  stamped,
  userSender,
  writeStamp,
} from './stamp.js';

const STAMP = { sender: userSender(7), sequence: 3n, intendedNs: 2n ** 40n + 1n, run: 0xfedcba9876543210n };

describe('the stamp', () => {
  it('is read as it was written', () => {
    expect(readStamp(stamped(100, STAMP))).toEqual(STAMP);
  });

  it('has the bytes that the native side reads', () => {
    expect(stamped(34, STAMP).toString('hex')).toBe(
      '48424e31' + '80000007' + '0000000000000003' + '0000010000000001' + 'fedcba9876543210' + '7878',
    );
  });

  it('is found within a larger buffer', () => {
    const around = Buffer.concat([Buffer.alloc(5), stamped(32, STAMP)]);
    expect(readStamp(around.subarray(5))).toEqual(STAMP);
  });

  it('tells a room from a user, and both from everyone', () => {
    const senders = [roomSender(7), everyoneSender(), userSender(7)];
    expect(senders.map(kindOf)).toEqual([SenderKind.room, SenderKind.everyone, SenderKind.user]);
  });

  it('is not there in a body that is too short, or has another beginning', () => {
    expect(readStamp(Buffer.alloc(STAMP_BYTES))).toBeUndefined();
    expect(readStamp(stamped(100, STAMP).subarray(0, STAMP_BYTES - 1))).toBeUndefined();
  });

  it('needs a body that holds it, and an index of 30 bits', () => {
    expect(() => writeStamp(Buffer.alloc(STAMP_BYTES - 1), STAMP)).toThrow('out of range');
    expect(() => roomSender(2 ** 30)).toThrow('the index of a sender');
    expect(() => userSender(-1)).toThrow('the index of a sender');
  });
});
