import { offsetPort } from '@halley/service/node-config';
import type { PortClaim } from '@halley/service/port-holder';

interface PortSection {
  readonly port?: unknown;
  readonly enabled?: unknown;
}

const SECTIONS = ['tcp', 'ws', 'wss', 'tls', 'grpc', 'http', 'ops'] as const;

/** The ports that a tier with this configuration binds, by the names of its sections; TLS ports count when they are on. */
export function portsOf(
  tier: string,
  config: { readonly node: { readonly bind: string; readonly portOffset: number } },
): PortClaim[] {
  const claims: PortClaim[] = [];
  for (const name of SECTIONS) {
    const section = (config as Readonly<Record<string, unknown>>)[name] as PortSection | undefined;
    if (typeof section?.port !== 'number' || section.enabled === false) continue;
    claims.push({
      host: config.node.bind,
      port: offsetPort(section.port, config.node),
      use: `${tier} ${name}`,
    });
  }
  return claims;
}
