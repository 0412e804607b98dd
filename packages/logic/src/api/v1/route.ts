import type { ErrorCode } from '@halley/protocol/error';
import type { z } from 'zod';

import type { ApiScope } from '../../auth/api-key.js';
import type { PushOrigin } from '../../push/accept.js';

/** What is common to the calls of `/v1`, beside their fields. */
export interface V1Call {
  /** Who calls, in which order, and until when. */
  readonly origin: PushOrigin;
  /** The header `Idempotency-Key`. */
  readonly idempotencyKey: string | undefined;
}

/** An example of the reference: what is sent or answered. */
export interface Example {
  readonly summary: string;
  readonly value: unknown;
}

/**
 * A path and method below `/v1`: what it takes, answers and may fail with. The schemas check what comes, and the OpenAPI
 * document is made from them.
 */
export interface V1Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** As OpenAPI has it: `/v1/history/users/{mid}`. */
  readonly path: string;
  /** What a key must be for, or any of these. */
  readonly scope: ApiScope | readonly ApiScope[];
  /** `operationId`, in camelCase. */
  readonly id: string;
  readonly tag: string;
  readonly summary: string;
  readonly description: string;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  /** JSON; absent takes none. */
  readonly body?: z.ZodType;
  readonly reply: z.ZodType;
  /** Whether it pushes: then a failure says whether it may have come about, and the headers of a push are read. */
  readonly pushes?: boolean;
  /** Beside those that every call may fail with. */
  readonly errors?: readonly ErrorCode[];
  readonly examples?: Readonly<Record<string, Example>>;
  readonly replyExample?: unknown;
}

/** What a route hands to its answer. */
export interface V1Input<Route extends V1Route> {
  readonly params: Route['params'] extends z.ZodType ? z.output<Route['params']> : undefined;
  readonly query: Route['query'] extends z.ZodType ? z.output<Route['query']> : undefined;
  readonly body: Route['body'] extends z.ZodType ? z.output<Route['body']> : undefined;
}

/** A route that is served. */
export interface V1Endpoint {
  readonly route: V1Route;
  /** Answers what is sent as JSON. Throws HalleyError. */
  readonly answer: (
    input: { params: unknown; query: unknown; body: unknown },
    call: V1Call,
  ) => Promise<unknown>;
}

/** Names a route, with the types of its schemas. */
export function v1Route<const Route extends V1Route>(route: Route): Route {
  return route;
}

/** Serves a route: `answer` gets what its schemas made of a request, and answers what its `reply` says. */
export function serve<Route extends V1Route>(
  route: Route,
  answer: (input: V1Input<Route>, call: V1Call) => Promise<z.input<Route['reply']>>,
): V1Endpoint {
  return { route, answer: (input, call) => answer(input as V1Input<Route>, call) };
}
