import { type ErrorCode, HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { ApiKeys, ApiScope } from '../auth/api-key.js';
import type { LogicMetrics } from '../metrics.js';
import { callerOf, json, queryOf, tellRefusal } from './http-reply.js';

/** What a request brings along. */
export interface V1Request {
  /** The parts of the path that the endpoint names. */
  readonly params: Readonly<Record<string, string | undefined>>;
  /** Behind the question mark. */
  readonly query: string;
}

/** A GET below `/v1`. */
export interface V1Endpoint {
  /** As `/v1/history/users/:mid`. */
  readonly path: string;
  readonly scope: ApiScope;
  /** Answers JSON. Throws HalleyError. */
  readonly answer: (request: V1Request) => Promise<string>;
}

export interface V1HttpDeps {
  readonly endpoints: readonly V1Endpoint[];
  readonly keys: ApiKeys;
  readonly metrics: LogicMetrics;
  readonly log: Logger;
}

/** Halley's own HTTP API below `/v1`: JSON; a failure is told by the status of its error, as `{"code","message"}`. */
export class V1Http {
  constructor(private readonly deps: V1HttpDeps) {}

  register(server: FastifyInstance): void {
    for (const endpoint of this.deps.endpoints) {
      server.get(endpoint.path, (request, reply) => this.#answer(endpoint, request, reply));
    }
  }

  /** Answers a request that no endpoint takes; undefined where the path is not of `/v1`. */
  notFound(path: string, reply: FastifyReply): FastifyReply | undefined {
    if (!path.startsWith('/v1/')) return undefined;
    const known = this.deps.endpoints.some((endpoint) => isOf(endpoint, path));
    if (!known) return problem(reply.code(404), 'not_found', 'there is no such path');
    return problem(reply.code(405).header('allow', 'GET'), 'not_found', 'use GET');
  }

  async #answer(endpoint: V1Endpoint, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { keys, metrics, log } = this.deps;
    try {
      callerOf(keys, endpoint.scope, request.headers);
      const params = request.params as V1Request['params'];
      return json(reply, await endpoint.answer({ params, query: queryOf(request.url) }));
    } catch (thrown) {
      const error = HalleyError.from(thrown);
      const { http: status } = error.entry;
      if (status >= 500) log.warn({ err: error, path: endpoint.path }, 'a request failed');
      tellRefusal(reply, error, status, metrics);
      return problem(reply.code(status), error.code, error.message);
    }
  }
}

function isOf({ path }: V1Endpoint, asked: string): boolean {
  const [parts, others] = [path.split('/'), asked.split('/')];
  return (
    parts.length === others.length &&
    parts.every((part, index) => part.startsWith(':') || part === others[index])
  );
}

function problem(reply: FastifyReply, code: ErrorCode, message: string): FastifyReply {
  return json(reply, JSON.stringify({ code, message }));
}
