import { type ServiceError, status } from '@grpc/grpc-js';
import { call, DEFAULT_DEADLINE_MS } from '@halley/cluster/grpc/client';
import type { ConnectError__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectError';
import type { ConnectReply__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectReply';
import type { ConnectRequest } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectRequest';
import type { SessionServiceClient } from '@halley/cluster/grpc/gen/halley/delivery/v1/SessionService';
import { fromServiceError } from '@halley/cluster/grpc/status';
import { ERRORS, type ErrorCode, HalleyError } from '@halley/protocol/error';

import { JoinedCalls } from './joined-calls.js';

/** Connects of one call: so that a storm is spread over the logics, and none of them has too much at once. */
const MAX_CONNECTS = 64;

/** While a call is under way others are waited for so long, in milliseconds. */
const JOIN_MS = 5;

/** A connect that waits for its outcome. */
interface Waiting {
  readonly request: ConnectRequest;
  readonly resolve: (reply: ConnectReply__Output) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Connects that are asked for in one moment share one call of logic, because a call costs more than what it asks: the first goes
 * with those of its turn of the loop, and while a call is under way the next one waits up to 5 ms for others. Each has its own outcome,
 * which comes as soon as it is known; those of one call have the same deadline.
 */
export class ConnectCalls {
  readonly #joined = new JoinedCalls<Waiting>(JOIN_MS, (waiting) => this.#send(waiting));
  #deadlineMs = DEFAULT_DEADLINE_MS;

  constructor(private readonly client: SessionServiceClient) {}

  /** Rejects as a call of its own does. */
  connect(request: ConnectRequest, deadlineMs = DEFAULT_DEADLINE_MS): Promise<ConnectReply__Output> {
    return new Promise((resolve, reject) => {
      if (deadlineMs !== this.#deadlineMs || this.#joined.size === MAX_CONNECTS) this.#joined.flush();
      this.#deadlineMs = deadlineMs;
      this.#joined.add({ request, resolve, reject });
    });
  }

  #send(waiting: readonly Waiting[]): void {
    try {
      if (waiting.length > 1) this.#askTogether(waiting, this.#deadlineMs);
      else for (const one of waiting) this.#askAlone(one, this.#deadlineMs);
    } catch (error) {
      // The client was closed meanwhile.
      for (const one of waiting) one.reject(error);
    }
  }

  #askAlone({ request, resolve, reject }: Waiting, deadlineMs: number): void {
    this.#joined.began();
    call(this.client.Connect.bind(this.client), request, { deadlineMs })
      .finally(() => this.#joined.ended())
      .then(resolve, reject);
  }

  #askTogether(waiting: readonly Waiting[], deadlineMs: number): void {
    const open = new Map(waiting.entries());
    const connects = waiting.map(({ request }) => request);
    const answers = this.client.ConnectMany({ connects }, { deadline: Date.now() + deadlineMs });
    answers.on('data', ({ outcomes }) => {
      for (const { index, connected, error } of outcomes) {
        const one = open.get(index);
        open.delete(index);
        if (connected) one?.resolve(connected);
        else one?.reject(errorOf(error));
      }
    });
    this.#joined.began();
    let failure: ServiceError | undefined;
    answers.on('error', (error: ServiceError) => {
      failure = error;
    });
    // Follows an error too, behind what came before it.
    answers.on('end', () => {
      this.#joined.ended();
      for (const one of open.values()) {
        if (!failure) one.reject(new HalleyError('unavailable'));
        // A logic of an older version; nothing was done.
        else if (failure.code === status.UNIMPLEMENTED) this.#askAlone(one, deadlineMs);
        else one.reject(fromServiceError(failure));
      }
    });
  }
}

function errorOf(error: ConnectError__Output | null | undefined): HalleyError {
  const code = error && Object.hasOwn(ERRORS, error.code) ? (error.code as ErrorCode) : 'internal';
  const retryAfterMs = Number(error?.retry_after_ms ?? 0);
  return new HalleyError(code, error?.message, retryAfterMs > 0 ? { retryAfterMs } : {});
}
