import type { IncomingMessage } from 'node:http';

import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import type { Logger } from '@halley/service/log';
import { newTrace, parseTrace } from '@halley/service/trace';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { ApiKeys } from '../../auth/api-key.js';
import type { LogicMetrics } from '../../metrics.js';
import type { PushOrigin } from '../../push/accept.js';
import { invalid } from '../../push/target.js';
import { readBody } from '../http-body.js';
import { callerOf, json, queryOf, tellRefusal } from '../http-reply.js';
import { readIdempotencyKey, readTimeout } from './headers.js';
import { parse, parseBody, parseQuery } from './input.js';
import { problemOf, PROBLEM_TYPE } from './problem.js';
import type { V1Endpoint, V1Route } from './route.js';

/** Where Halley's own HTTP API is. */
export const V1_PREFIX = '/v1';

export interface V1HttpDeps {
  readonly endpoints: readonly V1Endpoint[];
  /** The largest JSON body, bytes. */
  readonly maxJsonBytes: number;
  readonly keys: ApiKeys;
  readonly clock: Clock;
  readonly metrics: LogicMetrics;
  readonly log: Logger;
}

/**
 * Halley's own HTTP API below `/v1`: JSON in and out; a failure has the status of its error and is told as problem details
 * (RFC 9457).
 */
export class V1Http {
  constructor(private readonly deps: V1HttpDeps) {}

  register(server: FastifyInstance): void {
    void server.register(
      (scope, _options, done) => {
        this.#configure(scope);
        done();
      },
      { prefix: V1_PREFIX },
    );
  }

  /** Answers a request for a path that is none. */
  noPath(reply: FastifyReply, changes = false): FastifyReply {
    return this.#fail(reply, new HalleyError('not_found', 'there is no such path'), changes);
  }

  #configure(scope: FastifyInstance): void {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request: FastifyRequest, payload: IncomingMessage) =>
      readBody(payload, this.deps.maxJsonBytes),
    );
    for (const endpoint of this.deps.endpoints) {
      const { method, path } = endpoint.route;
      scope.route({
        method,
        url: path.slice(V1_PREFIX.length).replaceAll(/\{(\w+)\}/g, ':$1'),
        handler: (request, reply) => this.#answer(endpoint, request, reply),
      });
    }
    scope.get('/openapi.json', async (_request, reply) => {
      // Loaded when somebody asks.
      const { openApiText } = await import('./openapi.js');
      return json(reply, openApiText());
    });
    scope.setErrorHandler((error, request, reply) =>
      this.#fail(reply, ofFramework(error), isChange(request)),
    );
    scope.setNotFoundHandler((request, reply) => this.#notFound(request, reply));
  }

  async #answer(
    { route, answer }: V1Endpoint,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<FastifyReply> {
    const { keys, clock } = this.deps;
    try {
      const caller = callerOf(keys, route.scope, request.headers);
      const input = readInput(route, request);
      const timeoutMs = readTimeout(request.headers);
      const origin: PushOrigin = {
        lane: `${request.raw.socket.remoteAddress}:${request.raw.socket.remotePort}`,
        caller,
        traceparent: parseTrace(text(request.headers['traceparent'])) ?? newTrace(),
        deadlineMs: timeoutMs === undefined ? undefined : clock.monotonicMs() + timeoutMs,
      };
      const idempotencyKey = route.pushes ? readIdempotencyKey(request.headers) : undefined;
      return json(reply, JSON.stringify(await answer(input, { origin, idempotencyKey })));
    } catch (error) {
      return this.#fail(reply, error, route.method !== 'GET');
    }
  }

  #fail(reply: FastifyReply, thrown: unknown, changes: boolean, status?: number): FastifyReply {
    const { metrics, log } = this.deps;
    const error = HalleyError.from(thrown);
    const told = problemOf(error, changes, status ?? (thrown instanceof WrongMediaType ? 415 : undefined));
    if (told.status >= 500)
      log.warn({ err: error, path: reply.request.routeOptions.url }, 'a request failed');
    tellRefusal(reply, error, told.status, metrics);
    return reply.code(told.status).type(PROBLEM_TYPE).send(JSON.stringify(told));
  }

  #notFound(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    const path = request.url.split('?', 1)[0]?.replace(/(.)\/$/, '$1') ?? '';
    const known = this.deps.endpoints.map(({ route }) => route).filter((route) => isOf(route, path));
    const changes = isChange(request);
    if (known.length === 0) return this.noPath(reply, changes);
    const methods = known.map(({ method }) => method).join(', ');
    void reply.header('allow', methods);
    return this.#fail(reply, new HalleyError('not_found', `use ${methods}`), changes, 405);
  }
}

/** A body of another type than JSON, or in an encoding: 415. */
class WrongMediaType extends HalleyError {}

function readInput(
  route: V1Route,
  request: FastifyRequest,
): { params: unknown; query: unknown; body: unknown } {
  const params = route.params ? parse(route.params, request.params) : undefined;
  const query = parseQuery(route.query, queryOf(request.url));
  const bytes = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
  if (!route.body) {
    if (bytes.length > 0) throw invalid('body', 'this call takes none');
    return { params, query, body: undefined };
  }
  const type = text(request.headers['content-type']) ?? '';
  // A page of another site could send other types without being asked for.
  if (!/^application\/json\s*(;|$)/i.test(type)) {
    throw new WrongMediaType('invalid_argument', 'content-type: must be application/json');
  }
  const encoding = text(request.headers['content-encoding']) ?? 'identity';
  if (encoding !== 'identity') {
    throw new WrongMediaType(
      'invalid_argument',
      'content-encoding: must be absent, bodies are taken as they are',
    );
  }
  return { params, query, body: parseBody(route.body, bytes) };
}

/** What fastify itself refuses. */
function ofFramework(thrown: unknown): unknown {
  if (thrown instanceof HalleyError) return thrown;
  const { statusCode = 500, message } = thrown as FastifyError;
  if (statusCode === 415)
    return new WrongMediaType('invalid_argument', 'content-type: must be application/json');
  return statusCode < 500 ? new HalleyError('invalid_argument', message, { cause: thrown }) : thrown;
}

function isChange({ method }: FastifyRequest): boolean {
  return method !== 'GET' && method !== 'HEAD';
}

function isOf({ path }: V1Route, asked: string): boolean {
  const [parts, others] = [path.split('/'), asked.split('/')];
  return (
    parts.length === others.length &&
    parts.every((part, index) => part.startsWith('{') || part === others[index])
  );
}

function text(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined;
}
