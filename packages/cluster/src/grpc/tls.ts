import { readFile } from 'node:fs/promises';

import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { HalleyError } from '@halley/protocol/error';

/** TLS of a gRPC server, as PEM files. Empty names are unset; without a certificate the server speaks plain HTTP/2. */
export interface ServerTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Whose client certificates are accepted. When set, each client must show one (mTLS). */
  readonly clientCaFile: string;
}

/** TLS of calls to other nodes, as PEM files. Without a CA and a certificate, calls go in plain HTTP/2. */
export interface ClientTls {
  readonly caFile: string;
  /** Shown to the server (mTLS). */
  readonly certFile: string;
  readonly keyFile: string;
  /** The name that server certificates must carry, the same for all nodes. Empty is the host that is called. */
  readonly serverName: string;
}

/** Throws `bad_config` for a file that cannot be read. */
export async function serverCredentials(tls: ServerTls | undefined): Promise<ServerCredentials> {
  if (!tls?.certFile) return ServerCredentials.createInsecure();
  const [cert, key, ca] = await Promise.all([
    readPem(tls.certFile),
    readPem(tls.keyFile),
    tls.clientCaFile ? readPem(tls.clientCaFile) : null,
  ]);
  return ServerCredentials.createSsl(ca, [{ private_key: key, cert_chain: cert }], ca !== null);
}

/** Throws `bad_config` for a file that cannot be read. */
export async function clientCredentials(tls: ClientTls | undefined): Promise<ChannelCredentials> {
  if (!tls?.caFile && !tls?.certFile) return ChannelCredentials.createInsecure();
  const [ca, key, cert] = await Promise.all([
    tls.caFile ? readPem(tls.caFile) : null,
    tls.certFile ? readPem(tls.keyFile) : null,
    tls.certFile ? readPem(tls.certFile) : null,
  ]);
  return ChannelCredentials.createSsl(ca, key, cert);
}

async function readPem(file: string): Promise<Buffer> {
  return readFile(file).catch((error: unknown) => {
    throw new HalleyError('bad_config', `The TLS file ${file || '(none given)'} cannot be read.`, {
      cause: error,
    });
  });
}
