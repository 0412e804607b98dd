import type { Client } from '@grpc/grpc-js';
import { type ClientConstructor, createClient } from '@halley/cluster/grpc/client';
import { clientCredentials } from '@halley/cluster/grpc/tls';
import { HalleyError } from '@halley/protocol/error';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';

import type { LogicOptions } from './logic-options.js';

/** A client of one logic, closed when `use` has ended. */
export async function withLogic<Stub extends Client, Result>(
  Constructor: ClientConstructor<Stub>,
  options: LogicOptions,
  use: (client: Stub) => Promise<Result>,
): Promise<Result> {
  const { address, apiKey, ca, serverName } = options;
  const credentials = await clientCredentials(
    ca === undefined ? undefined : { caFile: ca, certFile: '', keyFile: '', serverName: serverName ?? '' },
  );
  const client = createClient(Constructor, {
    target: address,
    log: silentLogger(),
    metrics: new Metrics({ process: false }),
    credentials,
    ...(serverName === undefined ? {} : { serverName }),
    ...(apiKey === undefined ? {} : { token: apiKey }),
  });
  try {
    return await use(client);
  } catch (error) {
    throw unreached(error, address) ?? withoutKey(error) ?? error;
  } finally {
    client.close();
  }
}

/** The error when there was no connection at all: then nothing was sent, and nothing will come of it. */
function unreached(error: unknown, address: string): HalleyError | undefined {
  if (!(error instanceof HalleyError) || error.code !== 'unavailable') return undefined;
  const reason =
    /\b(ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH)\b|Name resolution failed/.exec(
      error.message,
    );
  if (!reason) return notSpoken(error, address);
  return new HalleyError(
    'no_node',
    `there is no logic at ${address}; \`halley start\` runs one, --address names another`,
    { cause: error },
  );
}

/** The error when something answers there, and what it says is no gRPC: another port, or TLS on one side alone. */
function notSpoken(error: HalleyError, address: string): HalleyError | undefined {
  const told = /No connection established\. Last error: (.+?)(?: \(\d{4}-\d\d-|\.? Resolution note|$)/s.exec(
    error.message,
  )?.[1];
  if (told === undefined) return undefined;
  // Of what OpenSSL says, the reason.
  const reason = /:SSL routines:[^:]*:([^:]+):/.exec(told)?.[1] ?? told.trim();
  return new HalleyError(
    'no_node',
    `there is no gRPC of a logic at ${address}: ${reason}; it is at port 3119 by default, with TLS where --ca is given`,
    { cause: error },
  );
}

/** Where the command takes the key from. */
function withoutKey(error: unknown): HalleyError | undefined {
  if (!(error instanceof HalleyError) || error.code !== 'unauthenticated') return undefined;
  return new HalleyError(
    'unauthenticated',
    'no API key, or an unknown one: --api-key KEY, or HALLEY_API_KEY',
    {
      cause: error,
    },
  );
}
