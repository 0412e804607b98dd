import type { NodeRecord } from '@halley/cluster/registry/registry';

import { publicHosts } from './nodes.js';

/** The comets as goim's `/goim/nodes/instances` lists them: JSON text, since its times (ns) exceed a double. */
export function instancesJson(comets: readonly NodeRecord[]): string {
  const listed = comets.filter(({ state }) => state === 'serving').map(instanceJson);
  return `[${listed.join(',')}]`;
}

function instanceJson(node: NodeRecord): string {
  const addrs = node.addresses.grpc === undefined ? [] : [`grpc://${node.addresses.grpc}`];
  const head = JSON.stringify({
    region: node.region,
    zone: node.zone,
    env: node.env,
    appid: 'goim.comet',
    hostname: node.hostname,
    addrs,
    version: node.version,
  });
  const metadata = JSON.stringify({
    addrs: publicHosts(node).join(','),
    conn_count: String(node.load.connections),
    ip_count: String(node.load.ips),
    offline: String(node.state === 'draining'),
    weight: String(node.weight),
  });
  const timestampNs = BigInt(Math.trunc(node.registeredAtMs)) * 1_000_000n;
  return `${head.slice(0, -1)},"latest_timestamp":${timestampNs},"metadata":${metadata}}`;
}
