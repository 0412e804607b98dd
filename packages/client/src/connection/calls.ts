import type { Fields, Message, ReadFields, WriteFields } from '@halley/protocol/client/message';

import { ClientError, clientClosed, timedOut } from '../client-error.js';
import type { Clock } from '../clock.js';
import { deferred } from '../deferred.js';
import type { Link } from './link.js';
import type { Answer } from './requests.js';

const RETRY_MS = 1_000;

/** A request that changes nothing when it is repeated. */
interface Call {
  send(link: Link): void;
  fail(error: ClientError): void;
}

/** Requests that may be repeated: they wait for a connection, and are sent again over the next one. */
export class Calls {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #calls = new Set<Call>();
  #link: Link | undefined;

  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with what the server said, once that is not temporary, and when the time is over. */
  async ask<Q extends Fields, A extends Fields>(
    op: number,
    request: Message<Q>,
    value: WriteFields<Q>,
    reply: Message<A>,
  ): Promise<ReadFields<A>> {
    const { promise, resolve, reject } = deferred<ReadFields<A>>();
    let last = timedOut();
    const answered = (answer: Answer): void => {
      if (!(answer instanceof ClientError)) resolve(reply.decode(answer.body));
      else if (!answer.temporary) reject(answer);
      else {
        last = answer;
        // A link that has ended is followed by another one.
        if (this.#link?.open) cancelRetry = this.#clock.after(answer.retryAfterMs || RETRY_MS, retry);
      }
    };
    const call: Call = {
      send: (link) => link.ask(op, request, value, answered),
      fail: reject,
    };
    const retry = (): void => {
      if (this.#link?.open) call.send(this.#link);
    };
    let cancelRetry = (): void => undefined;
    const cancelTimeout = this.#clock.after(this.#timeoutMs, () => reject(last));
    this.#calls.add(call);
    retry();
    try {
      return await promise;
    } finally {
      cancelTimeout();
      cancelRetry();
      this.#calls.delete(call);
    }
  }

  opened(link: Link): void {
    this.#link = link;
    for (const call of this.#calls) call.send(link);
  }

  stop(): void {
    for (const call of this.#calls) call.fail(clientClosed());
  }
}
