import { encodeFrame, type Frame, VERSION_GOIM } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import type { ClientAddress } from './client-address.js';
import { openWire, type Wire, type WireEnd } from './wire.js';

export interface GoimClientOptions {
  readonly address: ClientAddress;
  /** The auth frame's body. */
  readonly token: string;
  /** Between two heartbeats; a reply that takes longer ends the connection. */
  readonly heartbeatMs: number;
  readonly ca?: Buffer;
  onConnected(): void;
  /** Everything that is not a reply to this client. */
  onMessage(frame: Frame): void;
  onEnd(end: ClientEnd): void;
}

export interface ClientEnd extends WireEnd {
  /** How far it came. */
  readonly reached: 'nothing' | 'server' | 'session';
}

type State =
  | { readonly name: 'connecting' }
  | { readonly name: 'authenticating' }
  | { readonly name: 'in session' };

/** Without an answer to connect or auth by then, the connection is given up. */
const AUTH_TIMEOUT_MS = 10_000;

/** One connection of a goim client: authenticates, keeps the connection alive, hands over what is pushed. */
export class GoimClient {
  #state: State = { name: 'connecting' };
  readonly #wire: Wire;
  #timer: NodeJS.Timeout;
  #seq = 0;
  #heartbeatUnanswered = false;
  #isFrozen = false;

  constructor(private readonly options: GoimClientOptions) {
    this.#wire = openWire(
      options.address,
      {
        onOpen: () => {
          this.#state = { name: 'authenticating' };
          this.#send(Operation.Auth, Buffer.from(options.token));
        },
        onFrames: (frames) => {
          for (const frame of frames) this.#onFrame(frame);
        },
        onEnd: (end) => {
          clearTimeout(this.#timer);
          options.onEnd({ ...end, reached: REACHED[this.#state.name] });
        },
      },
      options.ca,
    );
    this.#timer = setTimeout(() => this.close('no answer to auth'), AUTH_TIMEOUT_MS);
  }

  close(reason: string): void {
    this.#wire.close(reason);
  }

  /**
   * Neither reads nor sends a heartbeat any more, until `thaw`. A heartbeat says that what was sent by the one before it was
   * read: who sends it and has not read skips messages when its connection ends.
   */
  freeze(): void {
    this.#isFrozen = true;
    this.#wire.pause();
  }

  thaw(): void {
    this.#isFrozen = false;
    this.#heartbeatUnanswered = false;
    this.#wire.resume();
  }

  #onFrame(frame: Frame): void {
    if (this.#state.name === 'authenticating' && frame.op === Operation.AuthReply) {
      this.#state = { name: 'in session' };
      clearTimeout(this.#timer);
      this.#timer = setInterval(() => this.#beat(), this.options.heartbeatMs);
      this.options.onConnected();
      return;
    }
    if (frame.op === Operation.HeartbeatReply) this.#heartbeatUnanswered = false;
    else this.options.onMessage(frame);
  }

  #beat(): void {
    if (this.#isFrozen) return;
    if (this.#heartbeatUnanswered) return this.close('no answer to a heartbeat');
    this.#heartbeatUnanswered = true;
    this.#send(Operation.Heartbeat, new Uint8Array(0));
  }

  #send(op: number, body: Uint8Array): void {
    this.#seq += 1;
    this.#wire.send(encodeFrame({ ver: VERSION_GOIM, op, seq: this.#seq, body }));
  }
}

const REACHED = { connecting: 'nothing', authenticating: 'server', 'in session': 'session' } as const;
