import { unpackRaw } from '@halley/protocol/decoder';
import { encodeFrame, type Frame } from '@halley/protocol/frame';
import { Operation } from '@halley/protocol/operation';

import { within } from './within.js';

export type Transport = 'tcp' | 'ws' | 'sse' | 'poll';

/** How a connection ended: the close code and reason, which TCP does not have. */
export interface Closed {
  readonly code: number | undefined;
  readonly reason: string;
}

/** A frame as it was received. */
export interface Received extends Frame {
  readonly body: Buffer;
  /** Whether it came inside an op 9 frame. */
  readonly wrapped: boolean;
}

const DEFAULT_TIMEOUT_MS = 5_000;

/** A goim client of a test: what is received is queued in order, frame by frame, and taken by `next`. */
export abstract class GoimClient {
  abstract readonly transport: Transport;
  /** Everything received, as hex: a frame each on TCP, a message each on WebSocket. */
  readonly wire: string[] = [];
  /** Breaches of the protocol by the server. Every test ends with a look at them. */
  readonly breaches: string[] = [];
  readonly closed: Promise<Closed>;
  #isClosed = false;
  #resolveClosed: (closed: Closed) => void = () => undefined;
  readonly #received: Received[] = [];
  #wake: () => void = () => undefined;
  #seq = 0;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** Sends bytes as they are: on WebSocket as one binary message. */
  abstract sendBytes(bytes: Uint8Array): void;
  /** Stops reading from the socket until `resume`. */
  abstract pause(): void;
  abstract resume(): void;
  /** Ends the connection. */
  abstract close(): void;

  send(frame: Partial<Frame> & { readonly op: number }): void {
    this.sendBytes(encodeFrame({ ver: 1, seq: 0, body: new Uint8Array(0), ...frame }));
  }

  /** The next frame, whatever it is. */
  async next(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Received> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const frame = this.#received.shift();
      if (frame) return frame;
      if (this.#isClosed) throw new Error(`${this.transport} connection is closed, a frame was awaited`);
      const arrival = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await within(arrival, Math.max(1, until - performance.now()), () => 'no frame');
    }
  }

  /** The next `count` frames. */
  async take(count: number, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Received[]> {
    const frames: Received[] = [];
    while (frames.length < count) {
      frames.push(
        await this.next(timeoutMs).catch((error: unknown) => {
          throw new Error(`${frames.length} of ${count} frames came`, { cause: error });
        }),
      );
    }
    return frames;
  }

  /** Sends a request and answers the next frame, which a test expects to be its reply. */
  async request(
    op: number,
    body: Uint8Array | string = '',
    seq = this.nextSeq(),
    timeoutMs = DEFAULT_TIMEOUT_MS,
  ): Promise<Received> {
    this.send({ op, seq, body: Buffer.from(body) });
    return this.next(timeoutMs);
  }

  /** Authenticates; throws unless the reply is exactly goim's. */
  async auth(token: unknown, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<void> {
    const seq = this.nextSeq();
    const body = typeof token === 'string' ? token : json(token);
    const reply = await this.request(Operation.Auth, body, seq, timeoutMs);
    if (reply.op !== Operation.AuthReply || reply.seq !== seq || reply.body.length > 0 || reply.wrapped) {
      throw new Error(`the auth reply is ${JSON.stringify(reply)}`);
    }
  }

  /** The count that a heartbeat is answered with. */
  async heartbeat(): Promise<number> {
    const reply = await this.request(Operation.Heartbeat);
    if (reply.op !== Operation.HeartbeatReply || reply.body.length !== 4) {
      throw new Error(`the heartbeat's reply is ${JSON.stringify(reply)}`);
    }
    return Buffer.from(reply.body).readInt32BE();
  }

  nextSeq(): number {
    this.#seq += 1;
    return this.#seq;
  }

  /** How the connection ends, within the time. */
  async end(timeoutMs = DEFAULT_TIMEOUT_MS): Promise<Closed> {
    return within(this.closed, timeoutMs, () => `${this.transport} connection not closed`);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Frames received and not taken yet. */
  get waiting(): readonly Received[] {
    return this.#received;
  }

  /** For the transports: one frame came; on WebSocket, one message that is one frame. */
  protected received(frame: Frame): void {
    this.wire.push(Buffer.from(encodeFrame(frame)).toString('hex'));
    // An empty op 9 is the answer to an op 9 of the client's own, which is a message for the business like others.
    const wrapped = frame.op === Operation.Raw && frame.body.length > 0;
    for (const inner of wrapped ? unpackRaw(frame) : [frame]) {
      this.#received.push({ ...inner, body: Buffer.from(inner.body), wrapped });
    }
    this.#wake();
  }

  protected ended(closed: Closed): void {
    this.#isClosed = true;
    this.#resolveClosed(closed);
    this.#wake();
  }
}

/** JSON with 64-bit integers exact: a bigint is written as a number. */
export function json(value: unknown): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).map(([key, field]) => `${JSON.stringify(key)}:${json(field)}`);
    return `{${fields.join(',')}}`;
  }
  return JSON.stringify(value);
}
