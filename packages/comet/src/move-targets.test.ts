import { expect, test } from '@jest/globals';
import type { NodeRecord } from '@halley/cluster/registry/registry';
import type { NodeId } from '@halley/protocol/ids';

import { addressKindOf, moveTargets } from './move-targets.js';

const node = (id: string, connections: number, fields: Partial<NodeRecord> = {}): NodeRecord => ({
  tier: 'comet',
  id: id as NodeId,
  incarnation: 'i',
  addresses: { tcp: `${id}:3101`, ws: `${id}:3102` },
  hostname: id,
  region: '',
  zone: '',
  env: '',
  weight: 10,
  publicAddresses: [],
  portOffset: 0,
  load: { connections, ips: 0 },
  state: 'serving',
  version: '0',
  registeredAtMs: 0,
  ...fields,
});

test('the other nodes that serve, those with room first, by the address of the transport', () => {
  const nodes = [
    node('self', 0),
    node('full', 900),
    node('heavy', 1_000, { weight: 100 }),
    node('empty', 1),
    node('drains', 0, { state: 'draining' }),
    node('weightless', 0, { weight: 0 }),
  ];
  expect(moveTargets(nodes, 'self', 'ws')).toEqual(['empty:3102', 'heavy:3102', 'full:3102']);
  expect(moveTargets(nodes, 'self', 'wss')).toEqual([]);
});

test('public addresses stand for the node, with its port where they have none', () => {
  const nodes = [node('a', 0, { publicAddresses: ['a.example.com', 'b.example.com:443'] })];
  expect(moveTargets(nodes, 'self', 'tcp')).toEqual(['a.example.com:3101', 'b.example.com:443']);
});

test('each transport has its kind of address', () => {
  const kind = (variant: 'tcp' | 'websocket', secure: boolean) => addressKindOf({ variant, secure });
  expect([kind('tcp', false), kind('tcp', true), kind('websocket', false), kind('websocket', true)]).toEqual([
    'tcp',
    'tls',
    'ws',
    'wss',
  ]);
});
