import type { Frame } from '@halley/protocol/frame';

import { timedOut, type ClientError } from '../client-error.js';
import type { Clock } from '../clock.js';

/** What a request was answered with: its frame, or why there is none. */
export type Answer = Frame | ClientError;
export type Answered = (answer: Answer) => void;

const MAX_SEQ = 0x7fff_ffff;

interface Unanswered {
  readonly answered: Answered;
  readonly cancelTimeout: () => void;
}

/** The requests of one connection that have no answer yet, by seq. Each is answered once. */
export class Requests {
  readonly #clock: Clock;
  readonly #unanswered = new Map<number, Unanswered>();
  #seq = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A seq that no unanswered request has. Without an answer in time `answered` gets the error `timed_out`. */
  add(timeoutMs: number, answered: Answered): number {
    do this.#seq = (this.#seq % MAX_SEQ) + 1;
    while (this.#unanswered.has(this.#seq));
    const seq = this.#seq;
    const cancelTimeout = this.#clock.after(timeoutMs, () => this.settle(seq, timedOut()));
    this.#unanswered.set(seq, { answered, cancelTimeout });
    return seq;
  }

  /** Answers the request with this seq; false when there is none. */
  settle(seq: number, answer: Answer): boolean {
    const request = this.#unanswered.get(seq);
    if (!request) return false;
    this.#unanswered.delete(seq);
    request.cancelTimeout();
    request.answered(answer);
    return true;
  }

  /** Answers all of them, in their order. */
  fail(error: ClientError): void {
    for (const seq of this.#unanswered.keys()) this.settle(seq, error);
  }
}
