import { endOf, GRACE_MS, MAX_RETRY_MS, refusal, type Requests, type SessionEnd } from './request.js';

/** How long the server may wait with an answer; who is in between may not wait for so long, then less is asked for. */
const WAIT_MS = 25_000;
const MIN_WAIT_MS = 1_000;
/** A server that has nothing answers within this after that time, or the request is lost. */
const SLACK_MS = 5_000;
/** Nothing, sooner than that, is not of the server: it is not asked again at once. */
const TOO_SOON_MS = 100;

interface Polled {
  readonly bytes?: Uint8Array;
  /** It is over. */
  readonly end?: SessionEnd;
}

/**
 * Frames that come as answers to polls. Each poll says which answer was the last that arrived, so one that was lost comes
 * again. Answers how it ended.
 */
export async function poll(requests: Requests, received: (bytes: Uint8Array) => void): Promise<SessionEnd> {
  const { clock } = requests;
  let after = 0;
  let waitMs = WAIT_MS;
  let attempt = 0;
  /** Ahead of the first answer nothing is repeated: there may be no way. */
  let known = false;
  /** Since when polls fail. */
  let failingMs: number | undefined;
  while (!requests.ended) {
    const askedMs = clock.now();
    try {
      const path = `/poll?after=${after}&wait_ms=${waitMs}`;
      const { bytes, end } = await requests.ask(path, { timeoutMs: waitMs + SLACK_MS }, (response) =>
        read(response, after + 1),
      );
      if (bytes) after += 1;
      if (bytes && bytes.length > 0) received(bytes);
      if (end) return end;
      known = true;
      failingMs = undefined;
      attempt = bytes || clock.now() - askedMs >= TOO_SOON_MS ? 0 : attempt + 1;
    } catch (error) {
      const nowMs = clock.now();
      if (nowMs - askedMs >= MIN_WAIT_MS && waitMs > MIN_WAIT_MS)
        waitMs = Math.max(MIN_WAIT_MS, Math.floor(waitMs / 2));
      else failingMs ??= nowMs;
      if (!known || nowMs - (failingMs ?? nowMs) >= GRACE_MS) return endOf(error);
      attempt += 1;
    }
    if (attempt > 0) await requests.pause(attempt - 1, failingMs === undefined ? undefined : MAX_RETRY_MS);
  }
  return { text: '' };
}

async function read(response: Response, expected: number): Promise<Polled> {
  const { headers, status } = response;
  if (status === 204) return {};
  if (status !== 200) return { end: await refusal(response) };
  if (headers.get('halley-response') !== String(expected)) {
    return { end: { text: 'The answer is not the next one of the session.' } };
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  const code = headers.get('halley-close');
  if (code === null) return { bytes };
  const text = decodeURIComponent(headers.get('halley-close-reason') ?? '');
  return { bytes, end: { code: Number(code), text } };
}
