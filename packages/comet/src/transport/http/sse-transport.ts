import type { ServerResponse } from 'node:http';

import { HttpTransport, type HttpTransportDeps, type Opening } from './http-transport.js';

/** Frames of one event, in bytes, unless one frame is larger. */
const EVENT_BYTES = 64 * 1024;

/** The last event of one piece: a room's push is one buffer for all of its members. */
let shared: { readonly piece: Uint8Array; readonly event: Buffer } | undefined;

/**
 * Frames in the events of one endless response. One event is on its way at a time; what is written meanwhile waits and leaves
 * in the next one. When the response breaks the session ends.
 */
export class SseTransport extends HttpTransport {
  override readonly variant = 'sse';
  #busy = false;
  /** When something was said last. */
  #spokeAtMs: number;

  constructor(
    opening: Opening,
    deps: HttpTransportDeps,
    private readonly response: ServerResponse,
  ) {
    super(opening, deps);
    response.once('close', () => {
      this.finish();
      deps.forget(this);
    });
    // Not to be gathered, changed or kept by what is on the way; nginx reads the last one.
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store, no-transform',
      'x-accel-buffering': 'no',
    });
    response.write(': open\n\n');
    this.#spokeAtMs = deps.clock.monotonicMs();
    this.setDeadline(deps.keepAliveMs);
  }

  override destroy(): void {
    this.response.destroy();
  }

  /** Says something where nothing else was said, so that nobody on the way takes the response for dead. */
  override onDeadline(): void {
    const { clock, keepAliveMs } = this.deps;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#spokeAtMs >= keepAliveMs) {
      if (!this.#busy && !this.response.writableEnded) this.response.write(':\n\n');
      this.#spokeAtMs = nowMs;
    }
    this.setDeadline(this.#spokeAtMs + keepAliveMs - nowMs);
  }

  protected override flush(): void {
    if (this.#busy || this.response.writableEnded) return;
    if (!this.downstream.empty) {
      this.#busy = true;
      this.#spokeAtMs = this.deps.clock.monotonicMs();
      this.response.write(eventOf(this.downstream.take(EVENT_BYTES)), this.#left);
    } else if (this.downstream.writableEnded) {
      this.response.end(this.closing && `event: close\ndata: ${JSON.stringify(this.closing)}\n\n`);
    }
  }

  readonly #left = (error?: Error | null): void => {
    this.#busy = false;
    // Its 'close' follows.
    if (error) return;
    this.downstream.left();
    this.flush();
  };
}

function eventOf(pieces: readonly Uint8Array[]): Buffer {
  const [piece] = pieces;
  if (pieces.length !== 1 || !piece) return encode(Buffer.concat(pieces));
  if (shared?.piece !== piece) shared = { piece, event: encode(piece) };
  return shared.event;
}

function encode({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(`data: ${Buffer.from(buffer, byteOffset, byteLength).toString('base64')}\n\n`, 'latin1');
}
