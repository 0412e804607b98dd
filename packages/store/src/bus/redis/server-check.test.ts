import { expect, test } from '@jest/globals';

import { checkServer, type ServerFacts, type ServerNeeds } from './server-check.js';

const GOOD: ServerFacts = {
  version: '7.2.4',
  appendOnly: true,
  fsync: 'always',
  maxmemory: 1_000,
  maxmemoryPolicy: 'noeviction',
};

function check(facts: Partial<ServerFacts>, needs: Partial<ServerNeeds> = {}): string[] {
  return checkServer({ ...GOOD, ...facts }, { fsync: 'everysec', replicas: 0, maxBytes: 500, ...needs });
}

test('a server that keeps all it is asked for is taken without a word', () => {
  expect(check({}, { fsync: 'always' })).toEqual([]);
  expect(check({ fsync: 'everysec' }, { replicas: 1 })).toEqual([]);
});

test.each<[Partial<ServerFacts>, Partial<ServerNeeds>, string]>([
  [{ version: '6.0.16' }, {}, 'Redis 6.0.16 is too old'],
  [{ maxmemoryPolicy: 'allkeys-lru' }, {}, 'maxmemory-policy allkeys-lru): set it to noeviction'],
  [{ appendOnly: false }, {}, 'set appendonly yes, or bus.redis.fsync: none'],
  [{ fsync: 'no' }, {}, 'set appendonly yes'],
  [{ fsync: 'everysec' }, { fsync: 'always' }, 'set appendfsync always'],
])('%j is refused where %j is asked for', (facts, needs, told) => {
  expect(() => check(facts, needs)).toThrow(told);
});

test.each<[Partial<ServerFacts>, Partial<ServerNeeds>, string]>([
  [{ appendOnly: false }, { fsync: 'none' }, 'a restart of Redis loses every push'],
  [{ fsync: 'everysec' }, {}, 'may lose the last two seconds'],
  [{ fsync: undefined }, {}, 'does not tell how it flushes'],
  [{ maxmemory: 0 }, {}, 'has no maxmemory'],
  [{}, { maxBytes: 2_000 }, 'the bus may keep 2000 bytes, and Redis has 1000'],
])('%j is warned of where %j is asked for', (facts, needs, told) => {
  expect(check(facts, needs)).toEqual([expect.stringContaining(told)]);
});
