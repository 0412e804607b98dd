import type { IncomingHttpHeaders } from 'node:http';

import type { HalleyError } from '@halley/protocol/error';
import type { FastifyReply } from 'fastify';

import type { ApiKeys, ApiScope } from '../auth/api-key.js';
import type { LogicMetrics } from '../metrics.js';

/** The name of the key of a request; empty where none is needed. Throws as `ApiKeys.check`. */
export function callerOf(
  keys: ApiKeys,
  scope: ApiScope | readonly ApiScope[] | undefined,
  headers: IncomingHttpHeaders,
): string {
  if (scope === undefined) return '';
  const apiKey = headers['x-api-key'];
  const credentials = {
    authorization: headers.authorization,
    apiKey: typeof apiKey === 'string' ? apiKey : undefined,
  };
  return keys.check(credentials, scope).name;
}

/** What the headers say of a refusal, by its HTTP status; one for its key is counted. */
export function tellRefusal(
  reply: FastifyReply,
  error: HalleyError,
  status: number,
  metrics: LogicMetrics,
): void {
  if (status === 401 || status === 403) metrics.apiRefusals.inc({ reason: error.code });
  if (status === 401) void reply.header('www-authenticate', 'Bearer');
  if (status === 429 || (status >= 400 && error.retryAfterMs !== undefined)) {
    const seconds = Math.max(1, Math.ceil((error.retryAfterMs ?? 0) / 1_000));
    void reply.header('retry-after', String(seconds));
  }
}

export function json(reply: FastifyReply, body: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(body);
}

/** What stands behind the question mark. */
export function queryOf(url: string): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}
