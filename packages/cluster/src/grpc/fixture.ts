import type { status, ServiceError } from '@grpc/grpc-js';
import { silentLogger } from '@halley/service/log';
import { Metrics } from '@halley/service/metrics';

import { nodeRecord } from '../registry/fixture.js';
import type { NodeRecord } from '../registry/registry.js';
import type { SessionServiceHandlers } from './gen/halley/delivery/v1/SessionService.js';
import { unary } from './handler.js';
import { protos } from './protos.js';
import { GrpcServer, type GrpcServerDeps } from './server.js';

/** A logic of a few methods that answers with its own name. */
export interface TestNode {
  readonly name: string;
  readonly server: GrpcServer;
  readonly record: NodeRecord;
  /** Calls that were answered. */
  readonly calls: () => number;
}

export const { SessionService } = protos.halley.delivery.v1;

/** Starts a server whose `Connect` answers its name as the key; the other handlers as given. */
export async function startNode(
  name: string,
  handlers: Partial<SessionServiceHandlers> = {},
  deps: Partial<GrpcServerDeps> = {},
): Promise<TestNode> {
  let calls = 0;
  const server = new GrpcServer({
    host: '127.0.0.1',
    port: 0,
    log: silentLogger(),
    metrics: new Metrics({ process: false }),
    ...deps,
  });
  server.addService(SessionService.service, {
    Connect: unary(async () => {
      calls += 1;
      return { key: name };
    }),
    ...handlers,
  });
  await server.start();
  const record = nodeRecord(name, { addresses: { grpc: `127.0.0.1:${server.boundPort}` } });
  return { name, server, record, calls: () => calls };
}

/** A failure as a server that is not Halley's sends it. */
export function plainFailure(code: status, details: string): Partial<ServiceError> {
  return { code, details };
}

/** Waits until the condition holds; throws when it does not within `withinMs`. */
export async function eventually(holds: () => boolean | Promise<boolean>, withinMs = 5_000): Promise<void> {
  const untilMs = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > untilMs) throw new Error(`did not come about within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
