import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { ERRORS, HalleyError, type ErrorCode } from '@halley/protocol/error';

/** Trailer with the error's code (docs/errors.md). */
export const CODE_TRAILER = 'halley-code';
/** Trailer with the milliseconds to wait before a repeat. */
export const RETRY_AFTER_TRAILER = 'retry-after-ms';
/** Trailer that says of a failed call whether its effect is `refused` (it never comes) or `unknown`. */
export const OUTCOME_TRAILER = 'halley-outcome';
/** gRPC's own trailer that delays a retry, or forbids it when negative (gRPC proposal A6). */
const PUSHBACK_TRAILER = 'grpc-retry-pushback-ms';

/** Errors after which the effect may still come: a channel must not repeat the call by itself. */
const OUTCOME_UNKNOWN: ReadonlySet<ErrorCode> = new Set([
  'bus_unknown',
  'schedule_unknown',
  'unavailable',
  'internal',
]);

/** Whether a call that failed so may have had its effect. */
export function outcomeOf(error: HalleyError): 'refused' | 'unknown' {
  return OUTCOME_UNKNOWN.has(error.code) ? 'unknown' : 'refused';
}

const thrownFor = new WeakMap<Metadata, HalleyError>();

/** The error that a status was made from, for the log: its cause never leaves the process. */
export function errorBehind(trailers: Metadata | null | undefined): HalleyError | undefined {
  return trailers ? thrownFor.get(trailers) : undefined;
}

/** Any thrown value as the error that grpc-js sends: status, message and trailers, without the cause. */
export function toServiceError(thrown: unknown): ServiceError {
  const error = HalleyError.from(thrown);
  const metadata = new Metadata();
  const outcome = outcomeOf(error);
  metadata.set(CODE_TRAILER, error.code);
  metadata.set(OUTCOME_TRAILER, outcome);
  if (error.retryAfterMs !== undefined) {
    metadata.set(RETRY_AFTER_TRAILER, String(Math.ceil(error.retryAfterMs)));
  }
  const pushbackMs = outcome === 'unknown' ? -1 : error.retryAfterMs;
  if (pushbackMs !== undefined) metadata.set(PUSHBACK_TRAILER, String(Math.ceil(pushbackMs)));
  thrownFor.set(metadata, error);
  return Object.assign(new Error(error.message), {
    code: status[error.entry.grpc],
    details: error.message,
    metadata,
  });
}

/** What a caller got, as the HalleyError that the server threw; by the status when no trailer came. */
export function fromServiceError(error: ServiceError): HalleyError {
  const told = first(error.metadata, CODE_TRAILER);
  if (told !== undefined && Object.hasOwn(ERRORS, told)) {
    const retryAfterMs = Number(first(error.metadata, RETRY_AFTER_TRAILER) ?? Number.NaN);
    return new HalleyError(told as ErrorCode, error.details, {
      cause: error,
      ...(Number.isFinite(retryAfterMs) ? { retryAfterMs } : {}),
    });
  }
  return new HalleyError(BY_STATUS[error.code] ?? 'internal', messageOf(error), { cause: error });
}

/** Without a trailer the server, or the network before it, does not speak Halley. */
const BY_STATUS: Partial<Record<status, ErrorCode>> = {
  [status.INVALID_ARGUMENT]: 'invalid_argument',
  [status.UNAUTHENTICATED]: 'unauthenticated',
  [status.PERMISSION_DENIED]: 'permission_denied',
  [status.NOT_FOUND]: 'not_found',
  [status.RESOURCE_EXHAUSTED]: 'overloaded',
  // The deadline passed here, not there: the server may have carried the call out.
  [status.DEADLINE_EXCEEDED]: 'unavailable',
  [status.CANCELLED]: 'unavailable',
  [status.UNAVAILABLE]: 'unavailable',
};

function messageOf(error: ServiceError): string {
  if (error.code === status.DEADLINE_EXCEEDED) return 'No answer within the deadline of the call.';
  return error.details || `The call failed with gRPC status ${status[error.code]}.`;
}

function first(metadata: Metadata | undefined, key: string): string | undefined {
  const value = metadata?.get(key)[0];
  return typeof value === 'string' ? value : undefined;
}
