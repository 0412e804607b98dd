import type { Clock } from '../../clock.js';
import type { OpenTransport, Transport, TransportEvents } from '../transport.js';
import { poll } from './poll.js';
import { endOf, type Fetch, Requests, type SessionEnd } from './request.js';
import { readEvents } from './sse.js';
import { Upstream } from './upstream.js';

/** What is left to be sent, and that the session ends, is waited for so long when it is closed. */
const CLOSE_TIMEOUT_MS = 2_000;

type Read = (requests: Requests, received: (bytes: Uint8Array) => void) => Promise<SessionEnd>;

/**
 * Transports on the port of WebSocket for where that does not get through: frames come as server-sent events (`sse`), or as
 * answers to long polls (any other name), and go as POSTs (docs/protocol/http.md).
 */
export function httpTransport(clock: Clock, fetch: Fetch): OpenTransport {
  return (address, events, name) => {
    const base = address.replace(/^ws/, 'http').replace(/(\/sub)?\/?$/, '');
    // Throws when it is none.
    new URL(base);
    return new HttpTransport(clock, fetch, base, name === 'sse' ? readEvents : poll, events);
  };
}

/** One session, which begins with the frame that has the token. */
class HttpTransport implements Transport {
  readonly #clock: Clock;
  readonly #fetch: Fetch;
  readonly #base: string;
  readonly #read: Read;
  readonly #events: TransportEvents;
  #requests: Requests | undefined;
  #upstream: Upstream | undefined;
  #closing = false;
  #over = false;
  #cancelTimer: () => void = () => undefined;

  constructor(clock: Clock, fetch: Fetch, base: string, read: Read, events: TransportEvents) {
    this.#clock = clock;
    this.#fetch = fetch;
    this.#base = base;
    this.#read = read;
    this.#events = events;
    // There is nothing to connect yet: requests say who asks.
    queueMicrotask(() => {
      if (!this.#closing) events.opened();
    });
  }

  send(frames: Uint8Array): void {
    if (this.#upstream) this.#upstream.push(frames);
    else this.#begin(bodyOf(frames));
  }

  close(): void {
    if (this.#closing || this.#over) return;
    this.#closing = true;
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(CLOSE_TIMEOUT_MS, () => this.#end({ text: '' }));
    void this.#leave();
  }

  #begin(hello: Uint8Array): void {
    const requests = new Requests(this.#clock, this.#fetch, this.#base, hello);
    this.#requests = requests;
    // Why it ended is told on the way down, and may come behind the answer to a POST.
    this.#upstream = new Upstream(requests, (text) => {
      if (this.#closing) return;
      this.#cancelTimer();
      this.#cancelTimer = this.#clock.after(CLOSE_TIMEOUT_MS, () => this.#end({ text }));
    });
    this.#read(requests, (bytes) => {
      if (!this.#over) this.#events.received(bytes);
    }).then(
      (end) => this.#end(end),
      (error: unknown) => this.#end(endOf(error)),
    );
  }

  /** What was sent goes out first. A page that is left lets the last request go on. */
  async #leave(): Promise<void> {
    await this.#upstream?.drained();
    const init = { method: 'DELETE', keepalive: true };
    await this.#requests?.ask('/session', init, () => Promise.resolve()).catch(() => undefined);
    this.#end({ text: '' });
  }

  #end({ code, text }: SessionEnd): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#requests?.end();
    this.#events.closed(code, text);
  }
}

/** The body of a frame of version 1. */
function bodyOf(frame: Uint8Array): Uint8Array {
  return frame.subarray(((frame[4] ?? 0) << 8) | (frame[5] ?? 0));
}
