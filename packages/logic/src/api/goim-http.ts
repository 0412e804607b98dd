import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

import { type ErrorCode, HalleyError } from '@halley/protocol/error';
import type { ConnectionKey, MessageId, RoomId, UserId } from '@halley/protocol/ids';
import type { TierView } from '@halley/cluster/registry/registry';
import type { Clock } from '@halley/service/clock';
import type { Service } from '@halley/service/lifecycle';
import type { Logger } from '@halley/service/log';
import { newTrace, parseTrace } from '@halley/service/trace';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { v7 as uuidv7 } from 'uuid';

import type { ApiKeys, ApiScope } from '../auth/api-key.js';
import type { LogicMetrics } from '../metrics.js';
import { instancesJson } from '../nodes/instances.js';
import type { ClientNodes } from '../nodes/nodes.js';
import type { PushAcceptor } from '../push/accept.js';
import type { PushLimits, Target } from '../push/target.js';
import { connectionTotals, type Online } from '../session/online.js';
import { readBody } from './http-body.js';
import { drainHttp } from './http-drain.js';
import { callerOf, json, queryOf, tellRefusal } from './http-reply.js';
import { QueryFields } from './query.js';
import { V1_PREFIX, V1Http } from './v1/http.js';
import type { V1Endpoint } from './v1/route.js';

/** Pushes to keys come in the query: goim takes 1 MB of it. */
const MAX_HEADER_BYTES = 1_048_576;
/** A message id of 128 characters, each of them escaped. */
const MAX_PARAM_LENGTH = 12 * 128;
const REQUEST_TIMEOUT_MS = 60_000;
/** Above the idle time of the usual proxies, so that they close first. */
const KEEP_ALIVE_MS = 75_000;
const OK = '{"code":0,"message":""}';

export interface GoimHttpDeps {
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  /** Addresses whose X-Forwarded-For is believed. */
  readonly trustedProxies: readonly string[];
  readonly limits: PushLimits;
  readonly acceptor: PushAcceptor;
  readonly online: Online;
  readonly nodes: ClientNodes;
  readonly comets: TierView;
  readonly keys: ApiKeys;
  /** Whether clients may ask for nodes, without a key. */
  readonly publicNodes: boolean;
  /** Halley's own endpoints, which are served beside goim's. */
  readonly v1: readonly V1Endpoint[];
  readonly clock: Clock;
  readonly metrics: LogicMetrics;
  readonly log: Logger;
}

type Answer = (request: FastifyRequest, query: QueryFields, caller: string) => string | Promise<string>;

interface Endpoint {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** What a key must be for; undefined where none is needed. */
  readonly scope: ApiScope | undefined;
  readonly answer: Answer;
}

/**
 * The HTTP server of logic: goim's API, where every answer is `{"code","message"}`, with `data` where there is some, and
 * {@link V1Http}.
 */
export class GoimHttp implements Service {
  readonly name = 'logic HTTP';
  readonly #server: FastifyInstance;
  readonly #endpoints: readonly Endpoint[];
  readonly #v1: V1Http;
  #boundPort = 0;
  #stopping = false;

  constructor(private readonly deps: GoimHttpDeps) {
    this.#endpoints = [
      { method: 'POST', path: '/goim/push/keys', scope: 'push', answer: this.#pushKeys },
      { method: 'POST', path: '/goim/push/mids', scope: 'push', answer: this.#pushMids },
      { method: 'POST', path: '/goim/push/room', scope: 'push', answer: this.#pushRoom },
      { method: 'POST', path: '/goim/push/all', scope: 'push', answer: this.#pushAll },
      { method: 'GET', path: '/goim/online/top', scope: 'presence', answer: this.#onlineTop },
      { method: 'GET', path: '/goim/online/room', scope: 'presence', answer: this.#onlineRoom },
      { method: 'GET', path: '/goim/online/total', scope: 'presence', answer: this.#onlineTotal },
      {
        method: 'GET',
        path: '/goim/nodes/weighted',
        scope: deps.publicNodes ? undefined : 'nodes',
        answer: this.#nodesWeighted,
      },
      { method: 'GET', path: '/goim/nodes/instances', scope: 'nodes', answer: this.#nodesInstances },
    ];
    this.#v1 = new V1Http({
      ...deps,
      endpoints: deps.v1,
      maxJsonBytes: jsonBytes(deps.limits.maxBodyBytes),
    });
    this.#server = fastify({
      logger: false,
      exposeHeadRoutes: false,
      return503OnClosing: false,
      forceCloseConnections: 'idle',
      trustProxy: deps.trustedProxies.length > 0 ? [...deps.trustedProxies] : false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      http: { maxHeaderSize: MAX_HEADER_BYTES },
      routerOptions: { ignoreTrailingSlash: true, maxParamLength: MAX_PARAM_LENGTH },
      frameworkErrors: (_error, request, reply) =>
        void this.#noPath(request.url, reply as unknown as FastifyReply),
    });
    this.#configure();
  }

  /** The port that was bound; 0 before the start. */
  get boundPort(): number {
    return this.#boundPort;
  }

  async start(): Promise<void> {
    await this.#server.listen({ host: this.deps.host, port: this.deps.port });
    this.#boundPort = (this.#server.server.address() as AddressInfo).port;
  }

  /** Takes no new connections and ends when what callers still ask on theirs is answered, or at the deadline. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    await drainHttp(this.#server.server, deadlineMs);
    await this.#server.close();
  }

  #configure(): void {
    const server = this.#server;
    const { deps } = this;
    // The body is the message, whatever it is said to be.
    server.removeAllContentTypeParsers();
    server.addContentTypeParser('*', (_request: FastifyRequest, payload: IncomingMessage) =>
      readBody(payload, deps.limits.maxBodyBytes),
    );
    // With callbacks: as async functions they would cost each request a promise.
    server.addHook('onRequest', (request, _reply, done) => {
      if (!isV1(request.url)) delete request.raw.headers['content-type'];
      done();
    });
    server.addHook('onSend', (_request, reply, _payload, done) => {
      // The caller's next request goes elsewhere.
      if (this.#stopping) void reply.header('connection', 'close');
      done();
    });
    server.addHook('onResponse', (request, reply, done) => {
      const path = request.routeOptions.url ?? 'unknown';
      const status = String(reply.statusCode);
      deps.metrics.httpSeconds.observe({ path, status }, reply.elapsedTime / 1_000);
      done();
    });
    for (const endpoint of this.#endpoints) {
      server.route({
        method: endpoint.method,
        url: endpoint.path,
        handler: (request, reply) => this.#answer(endpoint, request, reply),
      });
    }
    this.#v1.register(server);
    server.setNotFoundHandler(async (request, reply) => {
      const path = request.url.split('?', 1)[0]?.replace(/(.)\/$/, '$1') ?? '';
      const known = this.#endpoints.find((endpoint) => endpoint.path === path);
      if (!known) return this.#noPath(path, reply);
      return envelope(reply.code(405).header('allow', known.method), -405, `use ${known.method}`);
    });
    server.setErrorHandler((error, _request, reply) => this.#fail(reply, error));
  }

  async #answer(endpoint: Endpoint, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    try {
      const name = callerOf(this.deps.keys, endpoint.scope, request.headers);
      const query = new QueryFields(queryOf(request.url));
      return json(reply, await endpoint.answer(request, query, name));
    } catch (error) {
      return this.#fail(reply, error);
    }
  }

  readonly #pushKeys: Answer = (request, query, caller) => {
    const operation = query.int32('operation');
    const keys = query.texts('keys');
    query.atMost('keys', this.deps.limits.maxTargets);
    query.check();
    // goim answers this one with 200.
    if (keys.length === 0) return failure(-400, 'keys: is required');
    const named = [...new Set(keys)].filter((key) => key !== '') as ConnectionKey[];
    return this.#push({ kind: 'keys', keys: named }, operation, request, caller);
  };

  readonly #pushMids: Answer = (request, query, caller) => {
    const operation = query.int32('operation');
    const mids = query.int64List('mids');
    query.atMost('mids', this.deps.limits.maxTargets);
    query.check();
    // 0 is anonymous: nobody has it, as in goim.
    const users = [...new Set(mids)].filter((mid) => mid !== '0') as UserId[];
    return this.#push({ kind: 'users', users }, operation, request, caller);
  };

  readonly #pushRoom: Answer = (request, query, caller) => {
    const operation = query.int32('operation', 'required');
    const type = query.text('type', 'required');
    const room = query.text('room', 'required');
    query.check();
    return this.#push({ kind: 'room', room: `${type}://${room}` as RoomId }, operation, request, caller);
  };

  readonly #pushAll: Answer = (request, query, caller) => {
    const operation = query.int32('operation', 'required');
    const speed = query.int32('speed');
    query.check();
    return this.#push({ kind: 'everyone', speed: Math.max(0, speed) }, operation, request, caller);
  };

  async #push(target: Target, operation: number, request: FastifyRequest, caller: string): Promise<string> {
    const { body, raw, headers } = request;
    const { traceparent } = headers;
    const push = {
      id: uuidv7() as MessageId,
      target,
      operation,
      body: Buffer.isBuffer(body) ? body : Buffer.alloc(0),
      durable: this.deps.limits.durability.isDefault(target),
      expireAtMs: 0,
    };
    await this.deps.acceptor.accept(push, {
      lane: `${raw.socket.remoteAddress}:${raw.socket.remotePort}`,
      caller,
      traceparent: parseTrace(typeof traceparent === 'string' ? traceparent : undefined) ?? newTrace(),
    });
    return OK;
  }

  readonly #onlineTop: Answer = async (_request, query) => {
    const type = query.text('type', 'required');
    const limit = query.limit('limit');
    query.check();
    return success(JSON.stringify(await this.deps.online.top(type, limit)));
  };

  readonly #onlineRoom: Answer = async (_request, query) => {
    const type = query.text('type', 'required');
    const rooms = query.texts('rooms', 'required');
    query.check();
    const counts = await this.deps.online.rooms(type, rooms);
    // Written by hand: an object would put names that look like numbers first.
    const entries = [...counts].map(([room, count]) => `${JSON.stringify(room)}:${count}`);
    return success(`{${entries.join(',')}}`);
  };

  readonly #onlineTotal: Answer = () => success(JSON.stringify(connectionTotals(this.deps.comets.nodes())));

  readonly #nodesWeighted: Answer = (request, query) =>
    success(JSON.stringify(this.deps.nodes.weighted(query.text('platform'), request.ip)));

  readonly #nodesInstances: Answer = () => success(instancesJson(this.deps.comets.nodes()));

  #noPath(url: string, reply: FastifyReply): FastifyReply {
    if (isV1(url)) return this.#v1.noPath(reply);
    return envelope(reply.code(404), -404, 'there is no such path');
  }

  #fail(reply: FastifyReply, thrown: unknown): FastifyReply {
    const error = HalleyError.from(thrown);
    const answer = ANSWERS[error.code];
    if (!answer) {
      this.deps.log.warn({ err: error, path: reply.request.routeOptions.url }, 'a request failed');
      // goim's callers read the code in the body.
      return envelope(reply.code(200), -500, error.message);
    }
    tellRefusal(reply, error, answer.status, this.deps.metrics);
    return envelope(reply.code(answer.status), answer.code, error.message);
  }
}

/** Errors that are the caller's, by HTTP status and goim's code; all others are 200 and -500. */
const ANSWERS: Partial<Record<ErrorCode, { readonly status: number; readonly code: number }>> = {
  invalid_argument: { status: 400, code: -400 },
  body_too_large: { status: 413, code: -400 },
  unauthenticated: { status: 401, code: -401 },
  permission_denied: { status: 403, code: -403 },
  overloaded: { status: 429, code: -429 },
};

function isV1(url: string): boolean {
  return url.startsWith(`${V1_PREFIX}/`);
}

/** What a push with the largest body and many targets takes as JSON, and a batch of such. */
function jsonBytes(maxBodyBytes: number): number {
  return 4 * maxBodyBytes + 1_048_576;
}

function success(data: string): string {
  return `{"code":0,"message":"","data":${data}}`;
}

function failure(code: number, message: string): string {
  return JSON.stringify({ code, message });
}

function envelope(reply: FastifyReply, code: number, message: string): FastifyReply {
  return json(reply, failure(code, message));
}
