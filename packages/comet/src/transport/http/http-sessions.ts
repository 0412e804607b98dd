import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

import { HalleyError } from '@halley/protocol/error';
import { Operation } from '@halley/protocol/operation';
import type { Clock } from '@halley/service/clock';

import type { CometMetrics } from '../../comet-metrics.js';
import type { Deadlines } from '../../session/deadlines.js';
import type { Client } from '../acceptor.js';
import type { ConnectionCounter } from '../limits.js';
import type { HttpTransport, HttpTransportDeps, Opening } from './http-transport.js';
import { type Pages, servePage } from './pages.js';
import { PollTransport } from './poll-transport.js';
import { allowOrigin, noContent, preflight, problem } from './reply.js';
import { numberOf, readBody, type SessionRequest, sessionOf } from './request.js';
import { SseTransport } from './sse-transport.js';

export interface HttpSessionsOptions extends Pick<
  HttpTransportDeps,
  'keepAliveMs' | 'pollWaitMs' | 'pollGraceMs' | 'closeTimeoutMs' | 'maxBodyBytes'
> {
  /** Largest body of a POST, in bytes: it may hold several frames. */
  readonly maxMessageBytes: number;
  /** Whether a browser's page of this origin may connect. */
  readonly allowsOrigin: (origin: string) => boolean;
}

export interface HttpSessionsDeps {
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly metrics: CometMetrics;
  readonly counter: ConnectionCounter;
  readonly pages: Pages | undefined;
  clientOf(socket: Socket): Client | undefined;
  /** The client's address as X-Forwarded-For of a trusted proxy says. */
  forwardedFor(peer: string, header: string | undefined): string;
  /** Begins its session. */
  onConnection(transport: HttpTransport, client: Client): void;
}

/** A request for a session, of which the headers are good. */
interface Call extends SessionRequest {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly client: Client;
}

type Route = readonly [method: string, serve: (call: Call) => unknown];

/** Requests that may wait on a socket behind one that is not answered. */
const MAX_PIPELINED = 4;
const kPipelined = Symbol('pipelined');

/** Hint for who finds the node full, or about to stop. */
const RETRY_AFTER = { 'retry-after': '1' };

/**
 * Sessions over HTTP by their ids, and what their requests do: `GET /sse`, `GET /poll`, `POST /send`, `DELETE /session`.
 * Other paths are pages.
 */
export class HttpSessions {
  readonly #transports = new Map<string, HttpTransport>();
  readonly #transportDeps: HttpTransportDeps;
  readonly #routes: Readonly<Record<string, Route>> = {
    '/sse': ['GET', (call) => this.#sse(call)],
    '/poll': ['GET', (call) => this.#poll(call)],
    '/send': ['POST', (call) => this.#send(call)],
    '/session': ['DELETE', (call) => this.#delete(call)],
  };
  /** Takes no new sessions. */
  draining = false;

  constructor(
    private readonly options: HttpSessionsOptions,
    private readonly deps: HttpSessionsDeps,
  ) {
    this.#transportDeps = {
      ...options,
      deadlines: deps.deadlines,
      clock: deps.clock,
      onOver: () => deps.counter.closed(),
      forget: (transport) => {
        if (this.#transports.get(transport.id) === transport) this.#transports.delete(transport.id);
      },
    };
  }

  /** Sessions, and ends of sessions that are still told to who asks again. */
  get size(): number {
    return this.#transports.size;
  }

  /** Answers any request that is no upgrade. */
  handle(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', ignore);
    request.on('error', ignore);
    const url = request.url ?? '/';
    const end = url.indexOf('?');
    const path = end < 0 ? url : url.slice(0, end);
    const route = Object.hasOwn(this.#routes, path) ? this.#routes[path] : undefined;
    if (!route) return servePage(this.deps.pages, request, response);
    const query = new URLSearchParams(end < 0 ? '' : url.slice(end));
    response.once('finish', () => this.deps.metrics.httpAnswered(path, response.statusCode));
    whenItsTurn(request, response, () => this.#answer(route, query, request, response));
  }

  #answer(route: Route, query: URLSearchParams, request: IncomingMessage, response: ServerResponse): void {
    this.#serve(route, query, request, response).catch((thrown: unknown) => {
      const error = HalleyError.from(thrown);
      // What is left of the body is not read.
      const headers: Record<string, string> = error.code === 'frame_too_large' ? { connection: 'close' } : {};
      if (error.code === 'bad_token') headers['www-authenticate'] = 'Bearer';
      problem(response, error.code, error.message, { headers });
    });
  }

  async #serve(
    [method, serve]: Route,
    query: URLSearchParams,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const { origin } = request.headers;
    if (origin !== undefined) {
      if (!this.options.allowsOrigin(origin)) {
        this.deps.metrics.refused('origin');
        throw new HalleyError('origin_refused');
      }
      allowOrigin(response, origin);
    }
    if (request.method === 'OPTIONS') return preflight(response);
    if (request.method !== method) {
      const headers = { allow: `${method}, OPTIONS` };
      return problem(response, 'invalid_argument', `Only ${method} is served here.`, {
        status: 405,
        headers,
      });
    }
    const peer = this.deps.clientOf(request.socket);
    if (!peer) return void response.destroy();
    const forwarded = request.headers['x-forwarded-for'];
    const header = Array.isArray(forwarded) ? forwarded.join(',') : forwarded;
    const address = this.deps.forwardedFor(peer.address, header);
    const client = { address, acceptedAtMs: this.deps.clock.monotonicMs() };
    await serve({ ...sessionOf(request, this.options.maxBodyBytes), request, response, query, client });
  }

  #sse(call: Call): void {
    if (this.#find(call)) throw new HalleyError('session_in_use');
    if (!this.#admits(call.response)) return;
    this.#open(new SseTransport(openingOf(call), this.#transportDeps, call.response), call);
  }

  #poll(call: Call): void {
    const after = numberOf(call.query, 'after');
    const { pollWaitMs } = this.options;
    const waitMs = Math.min(pollWaitMs, numberOf(call.query, 'wait_ms', pollWaitMs));
    const known = this.#find(call);
    if (known && !(known instanceof PollTransport)) throw new HalleyError('session_in_use');
    if (known) return known.poll(after, waitMs, call.response);
    if (after > 0) throw new HalleyError('session_unknown');
    if (!this.#admits(call.response)) return;
    const transport = new PollTransport(openingOf(call), this.#transportDeps);
    this.#open(transport, call);
    transport.poll(0, waitMs, call.response);
  }

  async #send(call: Call): Promise<void> {
    const { request, response, query } = call;
    const number = numberOf(query, 'n');
    const known = (): HttpTransport => {
      const transport = this.#find(call);
      if (!transport || transport.over) throw new HalleyError('session_unknown');
      return transport;
    };
    known();
    const encoding = request.headers['content-encoding'] ?? 'identity';
    if (encoding !== 'identity') {
      return problem(response, 'invalid_argument', 'Content-Encoding must be left out.', { status: 415 });
    }
    const body = await readBody(request, this.options.maxMessageBytes);
    // It may have ended while the body came.
    if (body) known().send(number, body, response);
  }

  #delete(call: Call): void {
    const transport = this.#find(call);
    // One that has ended already is what was asked for.
    if (transport && !transport.over) transport.leave();
    noContent(call.response);
  }

  /** The session by this id. Throws `session_not_yours`. */
  #find({ id, credential }: SessionRequest): HttpTransport | undefined {
    const transport = this.#transports.get(id);
    if (transport && !transport.belongsTo(credential)) throw new HalleyError('session_not_yours');
    return transport;
  }

  /** Whether one more session is taken; it is counted then. Else this is answered. */
  #admits(response: ServerResponse): boolean {
    if (response.destroyed) return false;
    if (this.draining) {
      this.deps.metrics.refused('draining');
      problem(response, 'unavailable', 'The node is stopping.', { headers: RETRY_AFTER });
      return false;
    }
    if (this.deps.counter.tryOpen()) return true;
    this.deps.metrics.refused('node_full');
    problem(response, 'overloaded', 'The node has as many connections as it takes.', {
      headers: RETRY_AFTER,
    });
    return false;
  }

  #open(transport: HttpTransport, { id, auth, client }: Call): void {
    this.#transports.set(id, transport);
    this.deps.onConnection(transport, client);
    transport.feed({ ver: 1, op: Operation.Auth, seq: 1, body: auth });
  }
}

function openingOf({ id, credential, client, request }: Call): Opening {
  return {
    id,
    credential,
    clientIp: client.address,
    cookie: request.headers.cookie ?? '',
    secure: 'encrypted' in request.socket,
  };
}

/**
 * Serves a request once those ahead of it on its socket are answered: until then Node does not tell when its client goes.
 * A socket on which too many wait is cut off.
 */
function whenItsTurn(request: IncomingMessage, response: ServerResponse, serve: () => void): void {
  if (response.socket) return serve();
  const socket: Socket & { [kPipelined]?: number } = request.socket;
  const waiting = (socket[kPipelined] ?? 0) + 1;
  socket[kPipelined] = waiting;
  if (waiting > MAX_PIPELINED) {
    socket.destroy();
    return;
  }
  response.once('socket', () => {
    socket[kPipelined] = (socket[kPipelined] ?? 1) - 1;
    serve();
  });
}

function ignore(): void {}
