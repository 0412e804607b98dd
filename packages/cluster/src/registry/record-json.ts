import type { NodeId } from '@halley/protocol/ids';
import { z } from 'zod';

import type { NodeRecord } from './registry.js';

const address = z.string().min(1).optional();

/** Fields that a later version adds are ignored; those that an earlier one lacks have defaults. */
const schema = z.object({
  tier: z.enum(['comet', 'logic', 'job']),
  id: z.string().min(1),
  incarnation: z.string().min(1),
  addresses: z
    .object({
      grpc: address,
      tcp: address,
      ws: address,
      wss: address,
      tls: address,
      http: address,
      ops: address,
    })
    .default({}),
  hostname: z.string().default(''),
  region: z.string().default(''),
  zone: z.string().default(''),
  env: z.string().default(''),
  weight: z.number().default(10),
  publicAddresses: z.array(z.string()).default([]),
  portOffset: z.number().default(0),
  load: z
    .object({ connections: z.number().default(0), ips: z.number().default(0) })
    .default({ connections: 0, ips: 0 }),
  state: z.enum(['serving', 'draining']).default('serving'),
  version: z.string().default(''),
  registeredAtMs: z.number().default(0),
});

/** The value of a node's entry (docs/registry.md). */
export function encodeRecord(record: NodeRecord): Buffer {
  return Buffer.from(JSON.stringify(record));
}

/** Undefined for what is no node's entry. */
export function decodeRecord(bytes: Uint8Array): NodeRecord | undefined {
  const parsed = schema.safeParse(parseJson(bytes));
  if (!parsed.success) return undefined;
  const { id, addresses, ...rest } = parsed.data;
  const given = Object.entries(addresses).filter(([, value]) => value !== undefined);
  return Object.freeze({ ...rest, id: id as NodeId, addresses: Object.fromEntries(given) });
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch {
    return undefined;
  }
}
