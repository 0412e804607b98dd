import type { ServerResponse } from 'node:http';

import { ERRORS, type ErrorCode } from '@halley/protocol/error';

/** How a request is refused. */
export interface Refusal {
  /** Instead of the code's own. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const TITLES: Partial<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};

/** Refuses a request with a problem document (RFC 9457). Nothing happens where an answer was given, or nobody waits for one. */
export function problem(
  response: ServerResponse,
  code: ErrorCode,
  detail: string = ERRORS[code].text,
  { status = ERRORS[code].http, headers = {} }: Refusal = {},
): void {
  if (response.headersSent || response.destroyed) return;
  const title = TITLES[status] ?? 'Error';
  const body = Buffer.from(JSON.stringify({ type: `urn:halley:error:${code}`, title, status, detail, code }));
  response.writeHead(status, {
    ...headers,
    'content-type': 'application/problem+json',
    'content-length': body.length,
    'cache-control': 'no-store',
  });
  response.end(body);
}

/** Answers that there is nothing to say. Nothing happens where an answer was given, or nobody waits for one. */
export function noContent(response: ServerResponse): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(204, { 'cache-control': 'no-store' }).end();
}

/** What a page of this origin may know of all answers. */
export function allowOrigin(response: ServerResponse, origin: string): void {
  response.setHeader('access-control-allow-origin', origin);
  response.setHeader('access-control-allow-credentials', 'true');
  response.setHeader(
    'access-control-expose-headers',
    'Halley-Response, Halley-Close, Halley-Close-Reason, Retry-After',
  );
  response.setHeader('vary', 'Origin');
}

/** Answers a browser that asks whether a page may send such a request: for a day. */
export function preflight(response: ServerResponse): void {
  response.writeHead(204, {
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-headers': 'Authorization, Halley-Session, Content-Type',
    'access-control-max-age': '86400',
  });
  response.end();
}
