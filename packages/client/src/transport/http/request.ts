import type { Clock } from '../../clock.js';

/** What is said in a request, beside its address. */
export interface RequestOptions {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array<ArrayBuffer>;
  readonly keepalive?: boolean;
}

/** What is used of `fetch`. */
export type Fetch = (
  url: string,
  init: RequestOptions & { readonly cache: 'no-store'; readonly signal: AbortSignal },
) => Promise<Response>;

/** How a session ended. */
export interface SessionEnd {
  /** The close code, where the server gave one. */
  readonly code?: number;
  readonly text: string;
}

/** Requests that fail are repeated for so long. Then another connection, perhaps to another comet, helps sooner. */
export const GRACE_MS = 5_000;
/** Waits between repetitions double from here. */
const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 5_000;
/** A server that is back is asked within this, so that its clients are soon back too: it knows nothing of the session any more. */
export const MAX_RETRY_MS = 1_000;
/** Said by who is in between, or by a server that can't just now: the same request may succeed. */
const TEMPORARY: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** What the server says where it takes no session now, as the close codes that say the same: then the transport gets through. */
const CLOSE_CODES: Readonly<Record<string, number>> = { unavailable: 3002, overloaded: 3006 };

/** An answer that is no good now. */
class Refused extends Error {
  constructor(readonly end: SessionEnd) {
    super(end.text);
  }
}

/** The requests of one session: all have its headers, and all end with it. */
export class Requests {
  readonly clock: Clock;
  readonly #fetch: Fetch;
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #running = new Set<AbortController>();
  readonly #waits = new Set<() => void>();
  #ended = false;

  /** `base` is the address without a path of its own; `hello` is the body of operation 7, which the server binds them to. */
  constructor(clock: Clock, fetch: Fetch, base: string, hello: Uint8Array) {
    this.clock = clock;
    this.#fetch = fetch;
    this.#base = base;
    this.#headers = {
      'Halley-Session': base64Url(crypto.getRandomValues(new Uint8Array(16))),
      Authorization: `Bearer ${base64Url(hello)}`,
    };
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Asks, and reads the answer with `read`. Rejects when there is none, also within `timeoutMs`, when it says that another try
   * may help, and when the session has ended.
   */
  async ask<T>(
    path: string,
    { timeoutMs, ...options }: RequestOptions & { readonly timeoutMs?: number },
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const running = new AbortController();
    this.#running.add(running);
    const cancel = timeoutMs === undefined ? undefined : this.clock.after(timeoutMs, () => running.abort());
    try {
      if (this.#ended) throw new Error('The session has ended.');
      const response = await this.#fetch(this.#base + path, {
        ...options,
        cache: 'no-store',
        headers: { ...this.#headers, ...options.headers },
        signal: running.signal,
      });
      if (TEMPORARY.has(response.status)) throw new Refused(await refusal(response));
      return await read(response);
    } finally {
      cancel?.();
      this.#running.delete(running);
    }
  }

  /** Waits ahead of a repetition, longer with each `attempt`, which counts from 0; at most until the session ends. */
  async pause(attempt: number, maxMs = MAX_WAIT_MS): Promise<void> {
    if (this.#ended) return;
    const ms = Math.min(maxMs, FIRST_WAIT_MS * 2 ** attempt) * (0.5 + this.clock.random() / 2);
    await new Promise<void>((resolve) => {
      const done = (): void => {
        cancel();
        this.#waits.delete(done);
        resolve();
      };
      const cancel = this.clock.after(ms, done);
      this.#waits.add(done);
    });
  }

  /** Aborts what runs. */
  end(): void {
    this.#ended = true;
    for (const running of this.#running) running.abort();
    for (const done of this.#waits) done();
  }
}

/** What an answer says that is none of those expected: the words of its problem document, if it has any. */
export async function refusal(response: Response): Promise<SessionEnd> {
  const told = await response.text().catch(() => '');
  const status = `HTTP ${response.status}:`;
  try {
    const { type = '', code = '', detail = '' } = JSON.parse(told) as Readonly<Record<string, string>>;
    const closeCode = type.startsWith('urn:halley:') ? CLOSE_CODES[code] : undefined;
    return { ...(closeCode !== undefined && { code: closeCode }), text: `${status} ${code} ${detail}` };
  } catch {
    return { text: `${status} ${told.slice(0, 100)}` };
  }
}

/** The end of a session for which this was thrown. */
export function endOf(thrown: unknown): SessionEnd {
  if (thrown instanceof Refused) return thrown.end;
  return { text: thrown instanceof Error ? thrown.message : String(thrown) };
}

function base64Url(bytes: Uint8Array): string {
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}
