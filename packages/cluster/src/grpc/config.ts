import { z } from 'zod';

import type { ClientTls, ServerTls } from './tls.js';

/** Configuration of what the tiers are to each other over gRPC, section `cluster`; the same on every node. */
export const clusterConfig = z.object({
  token: z.string().default('').meta({
    description:
      'Shared secret that the tiers show each other. Empty asks for none: then the network, or mTLS, keeps others out.',
    secret: true,
  }),
  tlsCertFile: z.string().default('').meta({
    description:
      'PEM certificate of the gRPC server, also shown to others. Empty serves and calls in plain HTTP/2.',
  }),
  tlsKeyFile: z.string().default('').meta({ description: 'PEM key of the certificate.' }),
  tlsCaFile: z.string().default('').meta({
    description: "PEM certificates of the authority that other nodes' certificates come from.",
  }),
  tlsClientCaFile: z.string().default('').meta({
    description: 'When set, callers of gRPC must show a certificate of this authority (mTLS).',
  }),
  tlsServerName: z.string().default('').meta({
    description: 'Name that the certificates of other nodes must carry. Empty is the host that is called.',
  }),
});

export type ClusterConfig = z.output<typeof clusterConfig>;

/** The server side of the section; undefined without a certificate. */
export function serverTlsOf(config: ClusterConfig): ServerTls | undefined {
  if (config.tlsCertFile === '') return undefined;
  return {
    certFile: config.tlsCertFile,
    keyFile: config.tlsKeyFile,
    clientCaFile: config.tlsClientCaFile,
  };
}

/** The calling side of the section; undefined without TLS. */
export function clientTlsOf(config: ClusterConfig): ClientTls | undefined {
  if (config.tlsCaFile === '' && config.tlsCertFile === '') return undefined;
  return {
    caFile: config.tlsCaFile,
    certFile: config.tlsCertFile,
    keyFile: config.tlsKeyFile,
    serverName: config.tlsServerName,
  };
}
