import { offsetPort } from './node-config.js';
import type { PortClaim } from './port-holder.js';

interface PortSection {
  readonly port?: unknown;
  readonly certFile?: unknown;
}

/** A tier's configuration: the section `node`, and a section with `port` for each port. */
export interface PortedConfig {
  readonly node: { readonly bind: string; readonly portOffset: number };
}

const SECTIONS = ['tcp', 'ws', 'wss', 'tls', 'grpc', 'http', 'ops'] as const;

/** The ports that a tier with this configuration binds, by the names of its sections; comet's TLS ports with a certificate. */
export function portClaims(tier: string, config: PortedConfig): PortClaim[] {
  const claims: PortClaim[] = [];
  const sections = config as unknown as Readonly<Partial<Record<(typeof SECTIONS)[number], PortSection>>>;
  for (const name of SECTIONS) {
    const section = sections[name];
    if (typeof section?.port !== 'number') continue;
    if ((name === 'tls' || name === 'wss') && !sections.tls?.certFile) continue;
    claims.push({
      host: config.node.bind,
      port: offsetPort(section.port, config.node),
      use: `${tier} ${name}`,
      offset: config.node.portOffset,
    });
  }
  return claims;
}
