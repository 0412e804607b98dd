import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import { describe, expect, test } from '@jest/globals';

import { pushRequest, targets } from '../testing/push-request.js';
import { Durability } from './durability.js';
import { readPush } from './read-push.js';

const NOW = 1_900_000_000_000;
const durability = new Durability({ durableRooms: ['chat://*'], durableAll: true });
const limits = { maxBodyBytes: 100, maxTargets: 10, maxDelayMs: 86_400_000, durability };
const { users, keys, room, everyone } = targets;
const read = (fields: Partial<PushRequest__Output>) => readPush(pushRequest(fields), limits, NOW);

describe('validation names the field', () => {
  test.each<[string, Partial<PushRequest__Output>]>([
    ['target: exactly one', {}],
    ['target.users.mids: is empty', { target: users() }],
    ['target.users.mids[3]: 0 is anonymous', { target: users('1', '2', '3', '0') }],
    [
      'target.users.mids: 11 entries',
      { target: users(...Array.from({ length: 11 }, (_, i) => String(i + 1))) },
    ],
    ['target.keys.keys: is empty', { target: keys() }],
    ['target.keys.keys[1]: is empty', { target: keys('a', '') }],
    ['target.keys.keys[0]: 5000 characters', { target: keys('x'.repeat(5_000)) }],
    ['target.room: is empty', { target: room('') }],
    ['target.everyone.speed: must not be negative', { target: everyone(-1) }],
    ['operation: must not be 0', { target: room('a'), operation: 0 }],
    ['operation: must not be 0', { target: everyone(), operation: 0 }],
    ['id: 129 characters', { target: room('a'), id: 'x'.repeat(129) }],
    ['expire_at_ms: must not be negative', { target: room('a'), expire_at_ms: '-1' }],
    ['expire_at_ms: has passed', { target: room('a'), expire_at_ms: String(NOW) }],
    ['class: 7 is no delivery class', { target: room('a'), class: 7 as never }],
    [
      'class: durable, and the room a is none of push.durableRooms',
      { target: room('a'), class: 'DELIVERY_CLASS_DURABLE' },
    ],
    [
      'class: durable for everyone goes without speed',
      { target: everyone(5), class: 'DELIVERY_CLASS_DURABLE' },
    ],
  ])('%s', (message, fields) => {
    expect(() => read(fields)).toThrow(message);
    expect(() => readPush(pushRequest(fields), limits, NOW, 'requests[2].')).toThrow(
      `requests[2].${message}`,
    );
  });

  test('a body over the limit has a code of its own; at the limit it is taken', () => {
    const fields = { target: room('a'), body: Buffer.alloc(101) };
    expect(() => read(fields)).toThrow(
      expect.objectContaining({ code: 'body_too_large', message: expect.stringMatching(/^body: 101/) }),
    );
    expect(read({ ...fields, body: Buffer.alloc(100) }).body).toHaveLength(100);
  });

  test('a missing push of a batch is named', () => {
    expect(() => readPush(null, limits, NOW, 'push.')).toThrow('push: is missing');
  });
});

describe('a valid push', () => {
  test('gets a UUID version 7 when it has no id, and keeps its own', () => {
    expect(read({ target: room('a') }).id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    expect(read({ target: room('a'), id: 'mine' }).id).toBe('mine');
  });

  test('is durable by default for users, keys and durable rooms; where it can be, on demand', () => {
    const targets = [users('1'), keys('a'), room('chat://1'), room('a'), everyone()];
    expect(targets.map((target) => read({ target }).durable)).toEqual([true, true, true, false, false]);
    const durable = (target: PushRequest__Output['target']) =>
      read({ target, class: 'DELIVERY_CLASS_DURABLE' }).durable;
    expect([users('1'), room('chat://1'), everyone()].map(durable)).toEqual([true, true, true]);
    for (const target of targets)
      expect(read({ target, class: 'DELIVERY_CLASS_EPHEMERAL' }).durable).toBe(false);
  });

  test('names each target once', () => {
    expect(read({ target: users('1', '2', '1') }).target).toEqual({ kind: 'users', users: ['1', '2'] });
  });
});
