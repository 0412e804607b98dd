import type { Group__Output } from '@halley/cluster/grpc/gen/halley/push/v1/Group';
import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import { describe, expect, test } from '@jest/globals';

import { pushRequest, targets } from '../testing/push-request.js';
import { Durability } from './durability.js';
import { readPush } from './read-push.js';

const NOW = 1_900_000_000_000;
const DAY_MS = 86_400_000;
const limits = {
  maxBodyBytes: 100,
  maxTargets: 10,
  maxDelayMs: DAY_MS,
  durability: new Durability({ durableRooms: [], durableAll: false }),
};
const request = (fields: Partial<PushRequest__Output>) =>
  pushRequest({ target: targets.users('1'), ...fields });
const read = (fields: Partial<PushRequest__Output>) => readPush(request(fields), limits, NOW);
const group = (fields: Partial<Group__Output> = {}): Group__Output => ({
  key: 'likes',
  window_ms: '1000',
  max_count: 0,
  ...fields,
});
const room = { target: 'room' as const, room: 'live://1' };

describe('when it is delivered', () => {
  test('a delay and a time mean the same', () => {
    expect(read({ delay_ms: '5000' }).deliverAtMs).toBe(NOW + 5_000);
    expect(read({ deliver_at_ms: String(NOW + 5_000) }).deliverAtMs).toBe(NOW + 5_000);
    expect(read({ delay_ms: String(DAY_MS) }).deliverAtMs).toBe(NOW + DAY_MS);
  });

  test('at once when nothing is said or the time has passed', () => {
    expect(read({})).not.toHaveProperty('deliverAtMs');
    expect(read({ deliver_at_ms: String(NOW) })).not.toHaveProperty('deliverAtMs');
    expect(read({ deliver_at_ms: '1' })).not.toHaveProperty('deliverAtMs');
  });

  test('also what is ephemeral, or expires later', () => {
    expect(read({ target: room, delay_ms: '5000' })).toMatchObject({
      durable: false,
      deliverAtMs: NOW + 5_000,
    });
    const expiring = { delay_ms: '5000', expire_at_ms: String(NOW + 5_001) };
    expect(read(expiring)).toMatchObject({ deliverAtMs: NOW + 5_000, expireAtMs: NOW + 5_001 });
  });
});

test('what is kept, and how urgent it is', () => {
  expect(read({ collapse_key: 'score', retention_ms: '60000', priority: 'PRIORITY_BULK' })).toMatchObject({
    collapseKey: 'score',
    retentionMs: 60_000,
    bulk: true,
  });
  const plain = read({ priority: 'PRIORITY_NORMAL' });
  for (const field of ['collapseKey', 'retentionMs', 'bulk', 'group'])
    expect(plain).not.toHaveProperty(field);
});

test('a group has a key, a window and a count, which is 1,000 where it is not said', () => {
  expect(read({ group: group() }).group).toEqual({ key: 'likes', windowMs: 1_000, maxCount: 1_000 });
  expect(read({ group: group({ max_count: 3 }), target: room }).group?.maxCount).toBe(3);
});

describe('what is wrong is named', () => {
  const later = String(NOW + DAY_MS + 1);
  test.each<[string, Partial<PushRequest__Output>]>([
    ['delay_ms: must not be negative', { delay_ms: '-1' }],
    ['deliver_at_ms: must not be negative', { deliver_at_ms: '-1' }],
    ['delay_ms: at most one of', { delay_ms: '1', deliver_at_ms: String(NOW + 1) }],
    ['delay_ms: 86400001 ms ahead, more than push.maxDelayMs (86400000)', { delay_ms: String(DAY_MS + 1) }],
    ['deliver_at_ms: 86400001 ms ahead, more than push.maxDelayMs', { deliver_at_ms: later }],
    ['expire_at_ms: is not after the time of delivery', { delay_ms: '10', expire_at_ms: String(NOW + 10) }],
    ['expire_at_ms: is not after', { group: group(), expire_at_ms: String(NOW + 1_000) }],
    ['collapse_key: 129 characters, more than 128', { collapse_key: 'x'.repeat(129) }],
    ['collapse_key: the push is ephemeral', { target: room, collapse_key: 'k' }],
    ['retention_ms: must not be negative', { retention_ms: '-1' }],
    ['retention_ms: the push is ephemeral', { class: 'DELIVERY_CLASS_EPHEMERAL', retention_ms: '1' }],
    ['priority: 7 is no priority', { priority: 7 as never }],
    ['group.key: is empty', { group: group({ key: '' }) }],
    ['group.key: 129 characters', { group: group({ key: 'x'.repeat(129) }) }],
    ['group.window_ms: must be at least 1', { group: group({ window_ms: '0' }) }],
    ['group.window_ms: 86400001, more than', { group: group({ window_ms: String(DAY_MS + 1) }) }],
    ['group.max_count: must be 1 to 1000', { group: group({ max_count: 1_001 }) }],
    ['group.max_count: must be 1 to 1000', { group: group({ max_count: -1 }) }],
    ['delay_ms: a push of a group', { group: group(), delay_ms: '1' }],
    ['deliver_at_ms: a push of a group', { group: group(), deliver_at_ms: String(NOW + 1) }],
    ['collapse_key: goes without a group', { group: group(), collapse_key: 'k' }],
  ])('%s', (message, fields) => {
    expect(() => read(fields)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
    expect(() => readPush(request(fields), limits, NOW, 'requests[2].')).toThrow(`requests[2].${message}`);
  });
});
