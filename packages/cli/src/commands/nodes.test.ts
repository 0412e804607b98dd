import { expect, test } from '@jest/globals';

import { nodeTable } from './nodes.js';

const node = {
  tier: 'comet',
  id: 'h:3109',
  incarnation: 'x',
  state: 'serving',
  addresses: { tcp: '127.0.0.1:3101', grpc: '127.0.0.1:3109' },
  region: 'sh',
  zone: '',
  weight: 10,
  connections: '12',
  registered_at_ms: '1000',
};

test('nodes are a table', () => {
  expect(
    nodeTable([node, { ...node, tier: 'job', id: 'h:3124', region: '', addresses: {} }], 126_000),
  ).toEqual([
    'TIER   NODE    STATE    CONNECTIONS  WEIGHT  REGION  UP  ADDRESSES',
    'comet  h:3109  serving  12           10      sh      2m  tcp 127.0.0.1:3101, grpc 127.0.0.1:3109',
    'job    h:3124  serving  -            -       -       2m',
  ]);
});

test('no node is told in words', () => {
  expect(nodeTable([], 0)).toEqual(['No node is registered.']);
});
