import type { ServerResponse } from 'node:http';

import { HttpTransport } from './http-transport.js';
import { noContent, problem } from './reply.js';

/** Frames of one response, in bytes, unless one frame is larger. */
const RESPONSE_BYTES = 256 * 1024;
const MAX_REASON_CHARACTERS = 100;

/**
 * Frames in the responses to polls. What was given in a response is kept until the next poll says that it arrived; a poll
 * that does not know of it gets it again. Without a poll for the time of grace the session ends, and when the first poll is
 * lost ahead of the first response.
 */
export class PollTransport extends HttpTransport {
  override readonly variant = 'poll';
  /** The number of the last response, and what it had. */
  #number = 0;
  #last: readonly Uint8Array[] = [];
  /** It was the last one of all. */
  #lastIsEnd = false;
  #waiting: ServerResponse | undefined;
  /** The response that is on its way, as far as is known. */
  #giving: ServerResponse | undefined;

  /** Answers a poll behind the response with the number `after`, in `waitMs` at the latest. */
  poll(after: number, waitMs: number, response: ServerResponse): void {
    if (after !== this.#number && (after !== this.#number - 1 || this.#number === 0)) {
      const known =
        this.#number === 0 ? '0' : `${this.#number}, or ${this.#number - 1} for the last one again`;
      return problem(response, 'poll_out_of_order', `after must be ${known}.`);
    }
    if (after === this.#number && this.#lastIsEnd) return problem(response, 'session_unknown');
    this.#dismiss();
    if (after < this.#number) {
      this.#giving?.destroy();
      if (!response.destroyed) this.#give(response);
      return;
    }
    this.#giving = undefined;
    this.#last = [];
    this.downstream.left();
    // Of a client that has gone already nothing more is told.
    if (response.destroyed) return this.#pollGone();
    this.#waiting = response;
    response.once('close', () => {
      if (this.#waiting !== response) return;
      this.#waiting = undefined;
      this.#pollGone();
    });
    this.setDeadline(waitMs);
    this.flush();
  }

  override end(): void {
    // Without a code there may be nothing left to tell a poll.
    if (!this.closing && this.downstream.empty) this.destroy();
    else super.end();
  }

  override destroy(): void {
    this.#dismiss();
    const giving = this.#giving;
    this.#giving = undefined;
    giving?.destroy();
    this.finish();
    this.deps.forget(this);
  }

  override onDeadline(): void {
    if (this.over) {
      this.deps.forget(this);
    } else if (this.#waiting) {
      this.#dismiss();
      this.#graceBegins();
    } else {
      this.destroy();
    }
  }

  protected override flush(): void {
    const { downstream } = this;
    if (!this.#waiting || (downstream.empty && !downstream.writableEnded)) return;
    const response = this.#waiting;
    this.#waiting = undefined;
    this.#number += 1;
    this.#last = downstream.take(RESPONSE_BYTES);
    this.#lastIsEnd = downstream.empty && downstream.writableEnded;
    this.#give(response);
  }

  #give(response: ServerResponse): void {
    this.#giving = response;
    // How long the client takes to read it is not counted: an outbox that stands still is noticed.
    if (!this.over) this.deps.deadlines.clear(this);
    response.once('close', () => {
      if (this.#giving !== response) return;
      this.#giving = undefined;
      if (this.#lastIsEnd) this.#ended(response.writableFinished);
      else this.#graceBegins();
    });
    const bytes = this.#last.reduce((sum, { length }) => sum + length, 0);
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'cache-control': 'no-store',
      'content-length': bytes,
      'halley-response': this.#number,
      ...(this.#lastIsEnd && this.closing
        ? {
            'halley-close': this.closing.code,
            'halley-close-reason': headerText(this.closing.reason),
          }
        : {}),
    });
    for (const piece of this.#last) response.write(piece);
    response.end();
  }

  /** The last response has left, or was lost; it is repeated for a while in case it did not arrive. */
  #ended(left: boolean): void {
    if (this.over) return;
    if (left) this.finish();
    this.setDeadline(this.deps.closeTimeoutMs);
  }

  /** Who leaves ahead of the first response knows of no session, and may be let in elsewhere by now. */
  #pollGone(): void {
    if (this.#number === 0) this.destroy();
    else this.#graceBegins();
  }

  #graceBegins(): void {
    if (this.over || this.#waiting || this.#giving) return;
    this.setDeadline(this.deps.pollGraceMs);
  }

  /** Answers the poll that waits with nothing. */
  #dismiss(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) noContent(waiting);
  }
}

/** Text as a header may have it: percent-encoded, and short. */
function headerText(text: string): string {
  // Half a pair of surrogates would throw; here it becomes a replacement character.
  return encodeURIComponent(Buffer.from(text.slice(0, MAX_REASON_CHARACTERS)).toString());
}
