import { expect, test } from '@jest/globals';

import type { RedisBusConnection } from './client.js';
import { RedisGroup } from './group.js';
import { RedisBusKeys } from './keys.js';

/** A member of a group of which Redis stores so many offsets. */
function memberOf(stored: number): RedisGroup {
  const connection = { run: async () => stored } as unknown as RedisBusConnection;
  const about = { group: 'job', member: 'm', topics: [], leaseMs: 1, heartbeatMs: 1 };
  return new RedisGroup({ connection, keys: new RedisBusKeys(''), ...about });
}

const offsets = [
  { topic: 't', partition: 0, offset: 1 },
  { topic: 't', partition: 1, offset: 2 },
];

test('offsets that Redis did not store, as the lease ran out there, are not taken for stored', async () => {
  await expect(memberOf(1).commit(offsets)).rejects.toThrow('1 of 2 offsets are stored');
  await expect(memberOf(2).commit(offsets)).resolves.toBeUndefined();
});
