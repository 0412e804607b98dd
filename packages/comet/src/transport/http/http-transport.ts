import { timingSafeEqual } from 'node:crypto';
import type { ServerResponse } from 'node:http';

import type { CloseCode } from '@halley/protocol/close-code';
import { decodeMessage } from '@halley/protocol/decoder';
import type { Frame } from '@halley/protocol/frame';
import type { Clock } from '@halley/service/clock';

import type { Deadlines, Expiring } from '../../session/deadlines.js';
import type { Session } from '../../session/session.js';
import type { Transport } from '../transport.js';
import { Downstream } from './downstream.js';
import { noContent, problem } from './reply.js';

/** Who opened it, and how. */
export interface Opening {
  /** The session's id, chosen by the client. */
  readonly id: string;
  /** SHA-256 of the credential. */
  readonly credential: Buffer;
  /** As trusted proxies told it. */
  readonly clientIp: string;
  readonly cookie: string;
  readonly secure: boolean;
}

/** What the transports of one node share. */
export interface HttpTransportDeps {
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly keepAliveMs: number;
  readonly pollWaitMs: number;
  readonly pollGraceMs: number;
  readonly closeTimeoutMs: number;
  readonly maxBodyBytes: number;
  /** The connection has ended, once. */
  onOver(transport: HttpTransport): void;
  /** Its id may be used again, once, behind `onOver`. */
  forget(transport: HttpTransport): void;
}

/** How it was closed by us. */
export interface Closing {
  readonly code: CloseCode;
  readonly reason: string;
}

/**
 * A connection over HTTP: what the client says comes in numbered POSTs, one at a time, whose answers wait while the session
 * is paused. How it is told is the subclasses' business.
 */
export abstract class HttpTransport implements Transport, Expiring {
  abstract readonly variant: 'sse' | 'poll';
  deadlineMs = Number.POSITIVE_INFINITY;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;
  /** What its outbox writes to. */
  readonly downstream = new Downstream(() => this.flush());
  protected closing: Closing | undefined;
  #session: Session | undefined;
  #version2 = false;
  #paused = false;
  #over = false;
  /** The number of the last POST that was taken. */
  #taken = 0;
  /** The answer that waits until the session takes more. */
  #waiting: ServerResponse | undefined;

  constructor(
    protected readonly opening: Opening,
    protected readonly deps: HttpTransportDeps,
  ) {}

  get id(): string {
    return this.opening.id;
  }

  get clientIp(): string {
    return this.opening.clientIp;
  }

  get cookie(): string {
    return this.opening.cookie;
  }

  get secure(): boolean {
    return this.opening.secure;
  }

  /** Whether the connection has ended; what is left of it repeats its end. */
  get over(): boolean {
    return this.#over;
  }

  /** Whether it was opened with this credential, given as its SHA-256. */
  belongsTo(credential: Buffer): boolean {
    return timingSafeEqual(credential, this.opening.credential);
  }

  attach(session: Session): void {
    this.#session = session;
  }

  acceptVersion2(): void {
    this.#version2 = true;
  }

  close(code: CloseCode, reason: string): void {
    this.closing = { code, reason };
    this.end();
  }

  end(): void {
    this.#release();
    this.downstream.end();
  }

  abstract destroy(): void;

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#release();
  }

  /** The number that the next POST must have, or the last one's again. */
  get expects(): number {
    return this.#taken + 1;
  }

  /** Takes the whole frames of a POST; answers when the session takes more. */
  send(number: number, body: Uint8Array, response: ServerResponse): void {
    if (number !== this.#taken || number === 0) {
      const wrong =
        number !== this.#taken + 1
          ? `n must be ${this.#taken + 1}, or ${this.#taken} to repeat the last one`
          : this.#paused && `${this.#taken} has not been answered yet`;
      if (wrong) return problem(response, 'send_out_of_order', `${wrong}.`);
      this.#taken = number;
      this.#receive(body);
    }
    if (!this.#paused) return noContent(response);
    // A repetition of the one that waits: that has been taken too.
    if (this.#waiting) noContent(this.#waiting);
    this.#waiting = response;
    response.once('close', () => {
      if (this.#waiting === response) this.#waiting = undefined;
    });
  }

  /** The client ended the session. */
  leave(): void {
    this.#session?.onLeft();
  }

  abstract onDeadline(): void;

  /** Gives what waits to whoever takes it now. */
  protected abstract flush(): void;

  /** For the frame that the opening request stands for. */
  feed(frame: Frame): void {
    this.#session?.receive([frame]);
  }

  /** The connection has ended. */
  protected finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.deps.deadlines.clear(this);
    this.#release();
    this.downstream.discard();
    this.deps.onOver(this);
    this.#session?.onGone();
    this.#session = undefined;
  }

  protected setDeadline(inMs: number): void {
    this.deps.deadlines.set(this, this.deps.clock.monotonicMs() + inMs);
  }

  #receive(body: Uint8Array): void {
    const session = this.#session;
    if (!session?.open || body.length === 0) return;
    const frames: Frame[] = [];
    try {
      decodeMessage(body, { maxBodyBytes: this.deps.maxBodyBytes, version2: this.#version2 }, frames);
    } catch (error) {
      session.receive(frames);
      session.refuse(error);
      return;
    }
    session.receive(frames);
  }

  #release(): void {
    this.#paused = false;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) noContent(waiting);
  }
}
