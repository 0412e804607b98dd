import { HalleyError } from '@halley/protocol/error';
import type { NodeConfig } from '@halley/service/node-config';
import { portClaims } from '@halley/service/port-claims';
import type { PortClaim } from '@halley/service/port-holder';

import { INSTANCE_FLAG } from './arguments.js';

/** Between the ports of one instance and the next, as between any two nodes of a host. */
const OFFSET_STEP = 100;

/** One of the processes that share a host. */
export interface InstancePlan {
  /** As `comet-1`, from 1: in the log, and of what is printed. */
  readonly name: string;
  /** What it binds. */
  readonly claims: readonly PortClaim[];
  /** By the names of the configuration, as `tcp`, `ops`. */
  readonly ports: Readonly<Record<string, number>>;
  /** Its arguments behind the tier's name. */
  readonly arguments: readonly string[];
}

/**
 * The instances of a tier with this configuration: the first on its ports, each further one with all of them 100 higher. A
 * `node.id` gets the instance's number behind it; without one the host and port name the node. Throws `bad_config` where ports
 * would not be known, overlap, or are none.
 */
export function planInstances(
  tier: string,
  config: { readonly node: NodeConfig },
  argv: readonly string[],
  count: number,
): InstancePlan[] {
  const taken = new Map<number, string>();
  return Array.from({ length: count }, (_, index) => {
    const name = `${tier}-${index + 1}`;
    const portOffset = config.node.portOffset + OFFSET_STEP * index;
    const claims = portClaims(tier, { ...config, node: { ...config.node, portOffset } }).map((one) => {
      return { ...one, offset: config.node.portOffset + OFFSET_STEP * (count - 1) };
    });
    const ports = Object.fromEntries(claims.map(({ use = '', port }) => [use.slice(tier.length + 1), port]));
    for (const [kind, port] of Object.entries(ports)) claim(taken, port, name, kind);
    const { id } = config.node;
    return {
      name,
      claims,
      ports,
      // Behind all others: of a key that is said twice, the last one holds.
      arguments: [
        ...argv,
        INSTANCE_FLAG,
        '--port-offset',
        String(portOffset),
        '--log.instance',
        name,
        ...(id === '' ? [] : ['--node-id', `${id}-${index + 1}`]),
      ],
    };
  });
}

function claim(taken: Map<number, string>, port: number, name: string, kind: string): void {
  const use = `${name} ${kind}`;
  if (port === 0)
    throw new HalleyError(
      'bad_config',
      `${kind}.port is 0, any free one: with --instances every port is to be known, so that a node that comes back is the same`,
    );
  if (port > 65_535)
    throw new HalleyError(
      'bad_config',
      `${use} would have port ${port}: --instances takes ports ${OFFSET_STEP} further on for each; set lower ones`,
    );
  const before = taken.get(port);
  if (before !== undefined)
    throw new HalleyError(
      'bad_config',
      `${use} and ${before} would both have port ${port}: --instances takes ports ${OFFSET_STEP} further on for each; set others`,
    );
  taken.set(port, use);
}
