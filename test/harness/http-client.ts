import { FrameDecoder } from '@halley/protocol/decoder';
import { Operation } from '@halley/protocol/operation';

import { GoimClient } from './goim-client.js';
import { HttpWire } from './http-wire.js';
import { MAX_PUSH_BODY_BYTES } from './tcp-client.js';

/** A client with version 1 over SSE or long poll, on the port of `ws://host:port/sub`. */
export class HttpGoimClient extends GoimClient {
  readonly #decoder = new FrameDecoder({ maxBodyBytes: MAX_PUSH_BODY_BYTES });
  readonly #wire: HttpWire;

  constructor(
    override readonly transport: 'sse' | 'poll',
    url: string,
  ) {
    super();
    this.#wire = new HttpWire(transport, url, {
      onBytes: (bytes) => {
        try {
          for (const frame of this.#decoder.push(bytes)) {
            if (frame.op === Operation.Raw && frame.body.length > 0)
              this.breaches.push('operation 9 over HTTP');
            this.received(frame);
          }
        } catch (error) {
          this.breaches.push(String(error));
        }
      },
      onBreach: (what) => this.breaches.push(what),
      onClosed: (closed) => this.ended(closed),
    });
  }

  override sendBytes(bytes: Uint8Array): void {
    this.#wire.send(bytes);
  }

  /** Ends the session, behind what was sent; the server may still answer. */
  endSide(): void {
    this.#wire.endSide();
  }

  override pause(): void {
    this.#wire.pause();
  }

  override resume(): void {
    this.#wire.resume();
  }

  override close(): void {
    this.#wire.close();
  }
}
