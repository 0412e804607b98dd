import type { Clock } from '@halley/service/clock';
import type { NodeConfig, NodeIdentity } from '@halley/service/node-config';
import { VERSION } from '@halley/service/version';

import type { AddressKind, NodeRecord, Tier } from './registry.js';

/** What a node that has bound its ports says of itself when it starts: serving, and without load. */
export function nodeRecord(
  tier: Tier,
  config: NodeConfig,
  identity: NodeIdentity<AddressKind>,
  clock: Clock,
): NodeRecord {
  const { region, zone, env, weight, portOffset } = config;
  return {
    tier,
    ...identity,
    region,
    zone,
    env,
    weight,
    portOffset,
    load: { connections: 0, ips: 0 },
    state: 'serving',
    version: VERSION,
    registeredAtMs: clock.now(),
  };
}
