import type { NodeId } from '@halley/protocol/ids';

import type { NodeRecord } from './registry.js';

/** A logic's record; every start of the same name takes another incarnation from the caller. */
export function nodeRecord(id: string, fields: Partial<NodeRecord> = {}): NodeRecord {
  return {
    tier: 'logic',
    id: id as NodeId,
    incarnation: `${id}#1`,
    addresses: { grpc: '127.0.0.1:1' },
    hostname: 'host',
    region: '',
    zone: '',
    env: 'dev',
    weight: 10,
    publicAddresses: [],
    portOffset: 0,
    load: { connections: 0, ips: 0 },
    state: 'serving',
    version: '0.0.0',
    registeredAtMs: 1_000,
    ...fields,
  };
}
