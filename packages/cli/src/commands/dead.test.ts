import type { DeadLetter__Output } from '@halley/cluster/grpc/gen/halley/push/v1/DeadLetter';
import { expect, test } from '@jest/globals';

import { letterTable } from './dead.js';

test('dead letters are a table', () => {
  const letter: DeadLetter__Output = {
    id: '17',
    at_ms: '1700000000000',
    topic: 'halley-push-topic',
    partition: 3,
    offset: '42',
    reason: 'undecodable',
    detail: '',
    key: '',
    headers: {},
    value: Buffer.alloc(0),
    value_bytes: '2048',
    cut: false,
    requeued_at_ms: '0',
  };
  const [, line] = letterTable([letter]);
  expect(line).toMatch(/^17 +\d{4}-[\d: -]+ +undecodable +halley-push-topic\/3@42 +2048 +-$/);
  expect(letterTable([])).toEqual(['There are no dead letters.']);
});
