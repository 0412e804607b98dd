import type { Fetch } from '../transport/http/request.js';
import { settled } from './fake-clock.js';

/** A request as it was made, and the ways to answer it. */
export interface ScriptedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly answer: (response: Response) => Promise<void>;
  /** As where the network fails. */
  readonly fail: () => Promise<void>;
  readonly done: boolean;
}

/** A `fetch` whose answers a test gives, in any order. */
export class ScriptedFetch {
  readonly requests: ScriptedRequest[] = [];

  readonly fetch: Fetch = (url, { method = 'GET', headers = {}, body = new Uint8Array(0), signal }) =>
    new Promise((resolve, reject) => {
      const { pathname, search } = new URL(url);
      const request = {
        method,
        path: pathname + search,
        headers,
        body,
        done: false,
        answer: (response: Response) => {
          request.done = true;
          resolve(response);
          return settled();
        },
        fail: () => {
          request.done = true;
          reject(new TypeError('fetch failed'));
          return settled();
        },
      };
      signal.addEventListener('abort', () => {
        request.done = true;
        reject(new DOMException('aborted', 'AbortError'));
      });
      this.requests.push(request);
    });

  /** The newest that waits for an answer at this path; the query may be left out. */
  waiting(path: string): ScriptedRequest {
    const found = this.requests.findLast((one) => !one.done && one.path.startsWith(path));
    if (!found) throw new Error(`Nothing waits at ${path}: ${this.paths().join(' ')}`);
    return found;
  }

  /** All so far, the oldest first. */
  paths(method?: string): readonly string[] {
    return this.requests.filter((one) => !method || one.method === method).map(({ path }) => path);
  }
}

export function noContent(): Response {
  return new Response(null, { status: 204 });
}

/** A problem document. */
export function problem(status: number, code: string): Response {
  return Response.json({ type: `urn:halley:error:${code}`, code, detail: 'No.' }, { status });
}

/** An answer without an end, and what writes to it. */
export function eventStream(): {
  readonly response: Response;
  write(text: string): Promise<void>;
  end(): void;
} {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({ start: (own) => void (controller = own) });
  return {
    response: new Response(body, { headers: { 'content-type': 'text/event-stream; charset=utf-8' } }),
    write: (text) => {
      controller?.enqueue(new TextEncoder().encode(text));
      return settled();
    },
    end: () => controller?.close(),
  };
}
