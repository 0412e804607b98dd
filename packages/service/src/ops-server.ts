import type { AddressInfo } from 'node:net';

import { fastify, type FastifyInstance } from 'fastify';

import type { Service } from './lifecycle.js';
import type { Logger } from './log.js';
import type { Metrics } from './metrics.js';

export interface OpsServerDeps {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  readonly metrics: Metrics;
  /** What is missing before the node can serve, as `registry: not reached`; empty is ready. */
  readonly ready: () => readonly string[];
  readonly log: Logger;
}

/** For monitoring and orchestration: GET /metrics, /healthz (the process lives) and /readyz (it can serve). */
export class OpsServer implements Service {
  readonly name = 'ops server';
  #server: FastifyInstance | undefined;

  constructor(private readonly deps: OpsServerDeps) {}

  /** The port that was bound; 0 before the start. */
  get boundPort(): number {
    return (this.#server?.server.address() as AddressInfo | null | undefined)?.port ?? 0;
  }

  async start(): Promise<void> {
    const { metrics, ready, log } = this.deps;
    const server = fastify({ logger: false, forceCloseConnections: true });
    server.get('/metrics', async (_request, reply) => {
      void reply.type(metrics.registry.contentType);
      return metrics.registry.metrics();
    });
    server.get('/healthz', async () => ({ alive: true }));
    server.get('/readyz', async (_request, reply) => {
      const missing = ready();
      if (missing.length === 0) return { ready: true };
      void reply.code(503);
      return { ready: false, missing };
    });
    server.setErrorHandler((error, request, reply) => {
      log.error({ err: error, path: request.url }, 'ops request failed');
      void reply.code(500).send({ error: 'internal' });
    });
    this.#server = server;
    await server.listen({ host: this.deps.host, port: this.deps.port });
  }

  async stop(_deadlineMs: number): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
  }
}
