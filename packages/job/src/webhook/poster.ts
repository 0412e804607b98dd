import type { WebhookEndpoint } from './config.js';
import { secretOf, signed } from '@halley/service/webhook-signature';
import type { WebhookEvent } from './payload.js';

/** What an endpoint made of an event. */
export type Posted =
  | { readonly result: 'taken' }
  /** It asks to be told no more. */
  | { readonly result: 'gone' }
  /** It does not want this event, as it is. */
  | { readonly result: 'refused'; readonly why: string }
  /** To be sent again, not before `retryAfterMs` where it said so. */
  | { readonly result: 'failed'; readonly why: string; readonly retryAfterMs?: number };

/** Sends an event once. Never rejects. */
export type Post = (event: WebhookEvent, signal: AbortSignal) => Promise<Posted>;

export interface PosterDeps {
  readonly endpoint: Pick<WebhookEndpoint, 'url' | 'secrets'>;
  readonly timeoutMs: number;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Default: Node's. */
  readonly fetch?: typeof fetch;
}

/** About the event itself: the same one is not taken later either. */
const REFUSED: ReadonlySet<number> = new Set([400, 413, 415, 422]);
/** An endpoint cannot ask for longer. */
const MAX_RETRY_AFTER_MS = 3_600_000;
/** What an answer says is not read; so much of it is thrown away to keep the connection. */
const MAX_ANSWER_BYTES = 65_536;

/** Posts to an endpoint, signed; follows no redirects. */
export function poster({ endpoint, timeoutMs, now, fetch: send = fetch }: PosterDeps): Post {
  const keys = endpoint.secrets.flatMap((secret) => secretOf(secret) ?? []);
  return async (event, signal) => {
    let body: string;
    try {
      body = event.body();
    } catch (error) {
      // A fault of ours, of this event alone: it is put aside, and the user's others go on.
      return { result: 'refused', why: `it has no body: ${whyOf(error)}` };
    }
    // Not AbortSignal.any: the lane's signal lives as long as the lane, and would remember each request.
    const request = new AbortController();
    const end = (): void => request.abort();
    const timer = setTimeout(() => request.abort(), timeoutMs);
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    try {
      const answer = await send(endpoint.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'halley-webhook/1',
          ...signed(event.id, body, now(), keys),
        },
        body,
        redirect: 'manual',
        signal: request.signal,
      });
      await discard(answer);
      return postedOf(answer, now());
    } catch (error) {
      return { result: 'failed', why: request.signal.aborted ? 'no answer in time' : whyOf(error) };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    }
  };
}

function postedOf({ ok, status, headers }: Response, nowMs: number): Posted {
  if (ok) return { result: 'taken' };
  const why = `status ${status}`;
  if (status === 410) return { result: 'gone' };
  if (REFUSED.has(status)) return { result: 'refused', why };
  const retryAfterMs = retryAfterOf(headers.get('retry-after'), nowMs);
  return { result: 'failed', why, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/** Seconds or a date, as RFC 9110 has it. */
export function retryAfterOf(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d{1,9}$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - nowMs;
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS) : undefined;
}

/** The answer was its status: trouble with the rest changes nothing. */
async function discard({ body }: Response): Promise<void> {
  if (!body) return;
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += (chunk as Uint8Array).byteLength;
      // Leaving the loop cancels the rest.
      if (bytes > MAX_ANSWER_BYTES) break;
    }
  } catch {
    // It ended early, or took too long.
  }
}

/** The network's code, which names no secret and no body. */
function whyOf(error: unknown): string {
  const { name, cause } = error as { readonly name?: unknown; readonly cause?: { readonly code?: unknown } };
  if (typeof cause?.code === 'string') return cause.code;
  return typeof name === 'string' ? name : 'failed';
}
