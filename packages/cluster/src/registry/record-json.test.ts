import { describe, expect, test } from '@jest/globals';

import { nodeRecord } from './fixture.js';
import { decodeRecord, encodeRecord } from './record-json.js';
import { encodeName } from './zookeeper.js';

describe("a node's entry", () => {
  test('comes back as it was written', () => {
    const record = nodeRecord('host:3109', {
      tier: 'comet',
      addresses: { grpc: '10.0.0.1:3109', tcp: '10.0.0.1:3101', wss: '10.0.0.1:3103', ops: '10.0.0.1:3104' },
      publicAddresses: ['203.0.113.7'],
      portOffset: 100,
      load: { connections: 3, ips: 2 },
      state: 'draining',
    });
    expect(decodeRecord(encodeRecord(record))).toEqual(record);
  });

  test('has defaults for what an earlier version does not write, and no use for what a later one adds', () => {
    const bytes = Buffer.from(
      '{"tier":"comet","id":"a","incarnation":"1","addresses":{"grpc":"a:1","quic":"a:2"},"mood":"good"}',
    );
    expect(decodeRecord(bytes)).toEqual({
      tier: 'comet',
      id: 'a',
      incarnation: '1',
      addresses: { grpc: 'a:1' },
      hostname: '',
      region: '',
      zone: '',
      env: '',
      weight: 10,
      publicAddresses: [],
      portOffset: 0,
      load: { connections: 0, ips: 0 },
      state: 'serving',
      version: '',
      registeredAtMs: 0,
    });
  });

  test.each([
    '',
    'null',
    '7',
    '{}',
    '{"tier":"comet"',
    '{"tier":"moon","id":"a","incarnation":"1"}',
    '\u0000',
  ])('is none when it says %j', (text) => {
    expect(decodeRecord(Buffer.from(text))).toBeUndefined();
  });
});

describe("a node's name in ZooKeeper", () => {
  test.each([
    ['comet-1.example.org:3109', 'comet-1.example.org:3109'],
    ['[::1]:3109', '[::1]:3109'],
    ['a/b', 'a%2Fb'],
    ['a%2Fb', 'a%252Fb'],
    ['..', '%2E%2E'],
    ['.', '%2E'],
    ['ü b', '%C3%BC%20b'],
  ])('of %j is %j', (id, name) => {
    expect(encodeName(id)).toBe(name);
  });
});
