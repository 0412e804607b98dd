import { Outcome, type ErrorBody } from '@halley/protocol/client/bodies';

/**
 * What became of the request that failed. `refused`: it was not done and will not be. `unknown`: it may have been done, or
 * be done later. `none`: there was no request, or the server did not say.
 */
export type ErrorOutcome = 'refused' | 'unknown' | 'none';

export interface ClientErrorOptions {
  /** The same can succeed later. Default false. */
  readonly temporary?: boolean;
  /** Default `none`. */
  readonly outcome?: ErrorOutcome;
  /** The server's hint when to repeat, in milliseconds; 0 is none. */
  readonly retryAfterMs?: number;
  /** The close code (docs/protocol/close-codes.md) with which the connection ended. */
  readonly closeCode?: number | undefined;
  /** The room that it is about. */
  readonly room?: string | undefined;
  readonly cause?: unknown;
}

/**
 * The one error of this package. `code` is one of the server's (docs/errors.md) or one of the client's own, which the README
 * lists.
 */
export class ClientError extends Error {
  readonly code: string;
  readonly temporary: boolean;
  readonly outcome: ErrorOutcome;
  readonly retryAfterMs: number;
  readonly closeCode: number | undefined;
  readonly room: string | undefined;

  constructor(code: string, text: string, options: ClientErrorOptions = {}) {
    super(text, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ClientError';
    this.code = code;
    this.temporary = options.temporary ?? false;
    this.outcome = options.outcome ?? 'none';
    this.retryAfterMs = options.retryAfterMs ?? 0;
    this.closeCode = options.closeCode;
    this.room = options.room;
  }
}

/** What a 39, or an answer's `error`, says. */
export function errorOf(body: ErrorBody, room?: string): ClientError {
  const { code, text, temporary, retryAfterMs, outcome } = body;
  return new ClientError(code, text, {
    temporary,
    retryAfterMs,
    outcome: outcome === Outcome.Refused ? 'refused' : outcome === Outcome.Unknown ? 'unknown' : 'none',
    ...(room !== undefined && { room }),
  });
}

/** The connection ended ahead of the answer. */
export function connectionLost(cause?: unknown): ClientError {
  return new ClientError('connection_lost', 'The connection ended.', {
    temporary: true,
    outcome: 'unknown',
    cause,
  });
}

/** Nobody answered. */
export function timedOut(outcome: ErrorOutcome = 'unknown'): ClientError {
  return new ClientError('timed_out', 'There was no answer in time.', { temporary: true, outcome });
}

/** Nothing is kept, resumed or acknowledged there. */
export function versionUnsupported(): ClientError {
  return new ClientError('version_unsupported', 'The server serves version 1 only.', { outcome: 'refused' });
}

/** The client was closed. */
export function clientClosed(outcome: ErrorOutcome = 'none'): ClientError {
  return new ClientError('closed', 'The client is closed.', { outcome });
}

/** Any thrown value as a ClientError with this code, unless it is one. */
export function wrapped(code: string, thrown: unknown, temporary = false): ClientError {
  if (thrown instanceof ClientError) return thrown;
  return new ClientError(code, thrown instanceof Error ? thrown.message : String(thrown), {
    temporary,
    cause: thrown,
  });
}
