/**
 * What one attempt to write says about the records. `rejected`: the broker answered for this very partition that it
 * did not take them. `unsent`: the attempt ended before anything left. `ambiguous`: anything else; they may be written.
 */
export type Attempt =
  | { readonly kind: 'written'; readonly baseOffsets: ReadonlyMap<string, number> }
  | { readonly kind: 'rejected'; readonly permanent: boolean; readonly cause: unknown }
  | { readonly kind: 'unsent'; readonly cause: unknown }
  | { readonly kind: 'ambiguous'; readonly cause: unknown };

/** Thrown by the partitioner, before anything is sent, when a partition is led by another broker than was thought. */
export class LeaderMovedError extends Error {
  readonly retriable = false;

  constructor() {
    super('the partition is led by another broker');
    this.name = 'LeaderMovedError';
  }
}

/** Rejections for the size of a batch. */
const TOO_LARGE: ReadonlySet<string> = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE']);

/**
 * Answers that mean "not appended, and not by a repetition either". Only codes that nothing but a produce is answered
 * with: the client refreshes its metadata after a failure, and an error of that hides the first one.
 */
const PERMANENT = new Set([...TOO_LARGE, 'INVALID_RECORD', 'INVALID_TIMESTAMP']);

/** Answers that mean "not appended now", again of a produce only. */
const NOT_NOW = new Set(['NOT_ENOUGH_REPLICAS', 'NOT_LEADER_FOR_PARTITION', 'KAFKA_STORAGE_ERROR']);

/** Reads an error of the client. `alone`: the attempt was for one partition, so the error is that partition's. */
export function readFailure(thrown: unknown, alone: boolean): Attempt {
  const cause = rootCause(thrown);
  if (cause instanceof LeaderMovedError) return { kind: 'unsent', cause };
  const type = typeOf(cause);
  if (alone && PERMANENT.has(type)) return { kind: 'rejected', permanent: true, cause };
  if (alone && NOT_NOW.has(type)) return { kind: 'rejected', permanent: false, cause };
  return { kind: 'ambiguous', cause };
}

/** Whether an attempt was rejected for the size of what it held. */
export function isTooLarge(cause: unknown): boolean {
  return TOO_LARGE.has(typeOf(cause));
}

function rootCause(thrown: unknown): unknown {
  let error = thrown;
  while (error instanceof Error && error.cause !== undefined) error = error.cause;
  return error;
}

function typeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'type' in error ? String(error.type) : '';
}
