import type { IncomingMessage, ServerResponse } from 'node:http';

/** A file as it is served. */
export interface Page {
  readonly contentType: string;
  readonly body: Uint8Array;
  /** The Cache-Control header. */
  readonly cacheControl: string;
  /** More headers, by their names in lower case, as a content security policy. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What the HTTP port serves beside clients' connections. */
export interface Pages {
  /** The page at a path, as `/` or `/app.js`: decoded, without its query. Must not throw. */
  find(path: string): Page | undefined;
}

/** Answers a request for a page, or that there is none. Only GET and HEAD are answered with one. */
export function servePage(
  pages: Pages | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const { method } = request;
  const path = method === 'GET' || method === 'HEAD' ? pathOf(request.url ?? '/') : undefined;
  const page = path === undefined ? undefined : pages?.find(path);
  if (!page) {
    response.writeHead(404, { 'content-type': 'text/plain', connection: 'close' }).end('Not found\n');
    return;
  }
  response.writeHead(200, {
    'x-content-type-options': 'nosniff',
    ...page.headers,
    'content-type': page.contentType,
    'content-length': page.body.length,
    'cache-control': page.cacheControl,
  });
  response.end(method === 'HEAD' ? undefined : page.body);
}

/** Undefined for what is no path. */
function pathOf(url: string): string | undefined {
  const end = url.indexOf('?');
  try {
    return decodeURIComponent(end < 0 ? url : url.slice(0, end));
  } catch {
    return undefined;
  }
}
