import { offsetPort } from '@halley/service/node-config';
import type { PortClaim } from '@halley/service/port-holder';

interface PortSection {
  readonly port?: unknown;
  readonly certFile?: unknown;
}

const SECTIONS = ['tcp', 'ws', 'wss', 'tls', 'grpc', 'http', 'ops'] as const;

/** The ports that a tier with this configuration binds, by the names of its sections; comet's TLS ports with a certificate. */
export function portsOf(
  tier: string,
  config: { readonly node: { readonly bind: string; readonly portOffset: number } },
): PortClaim[] {
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
    });
  }
  return claims;
}
