import { CloseCode } from './close-code.js';

/** gRPC status names that errors map to. */
export type GrpcStatusName =
  | 'INVALID_ARGUMENT'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'NOT_FOUND'
  | 'FAILED_PRECONDITION'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE'
  | 'DEADLINE_EXCEEDED'
  | 'UNIMPLEMENTED'
  | 'INTERNAL';

/** How one error code is told: in words, over gRPC, over HTTP, and as a WebSocket close. */
export interface ErrorEntry {
  /** What happened and what to do, for docs/errors.md. */
  readonly text: string;
  readonly retryable: boolean;
  readonly grpc: GrpcStatusName;
  /** HTTP status of the `/v1` API; goim's endpoints have rules of their own (GOIM compatibility). */
  readonly http: number;
  readonly close: CloseCode;
}

/** Every error that Halley answers with. docs/errors.md is generated from this table. */
export const ERRORS = {
  bad_frame: entry(
    'The frame is malformed: a length below the header, another header length than 16 (or 20 in version 2), an unknown flag, or a body that is not what its operation says. Fix the client.',
    false,
    'INVALID_ARGUMENT',
    400,
    CloseCode.BadFrame,
  ),
  corrupt_frame: entry(
    'The checksum of the frame does not hold: its bytes changed on the way. Connect again.',
    true,
    'INVALID_ARGUMENT',
    400,
    CloseCode.CorruptFrame,
  ),
  frame_too_large: entry(
    'The frame is larger than the limit for clients (session.maxBodyBytes, 4,096 bytes by default), or its body is when inflated. Send less at once.',
    false,
    'INVALID_ARGUMENT',
    413,
    CloseCode.FrameTooLarge,
  ),
  bad_token: entry(
    'The token is not valid. Get a new one.',
    false,
    'UNAUTHENTICATED',
    401,
    CloseCode.BadToken,
  ),
  token_expired: entry(
    'The token has expired. Get a new one and connect again.',
    false,
    'UNAUTHENTICATED',
    401,
    CloseCode.TokenExpired,
  ),
  keys_unavailable: entry(
    'The keys that tokens are checked with (JWKS) could not be fetched. Repeat.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  key_in_use: entry(
    'The connection key belongs to a live connection of another user. Choose another key.',
    false,
    'FAILED_PRECONDITION',
    409,
    CloseCode.KeyInUse,
  ),
  room_not_granted: entry(
    'The token does not grant this room.',
    false,
    'PERMISSION_DENIED',
    403,
    CloseCode.RoomNotGranted,
  ),
  send_not_granted: entry(
    'Neither the token nor the business allows sending to this target.',
    false,
    'PERMISSION_DENIED',
    403,
    CloseCode.BadFrame,
  ),
  unsupported_operation: entry(
    'The operation is unknown in this version of the protocol, or is not served here.',
    false,
    'UNIMPLEMENTED',
    501,
    CloseCode.BadFrame,
  ),
  limit_exceeded: entry(
    'The connection would exceed one of its limits (rooms, users watched, entries of a request); the message names it. Give something up first.',
    false,
    'FAILED_PRECONDITION',
    409,
    CloseCode.BadFrame,
  ),
  already_requeued: entry(
    'The dead letter was requeued before. Force it to append its record once more.',
    false,
    'FAILED_PRECONDITION',
    409,
    CloseCode.BadFrame,
  ),
  unauthenticated: entry(
    'No API key, or an unknown one. Send `authorization: Bearer KEY`.',
    false,
    'UNAUTHENTICATED',
    401,
    CloseCode.BadToken,
  ),
  permission_denied: entry(
    'The API key lacks the scope that this call needs.',
    false,
    'PERMISSION_DENIED',
    403,
    CloseCode.BadToken,
  ),
  invalid_argument: entry(
    'A field of the request is missing or malformed; the message names it. Fix the call.',
    false,
    'INVALID_ARGUMENT',
    400,
    CloseCode.BadFrame,
  ),
  body_too_large: entry(
    'The body of the push is larger than push.maxBodyBytes (1 MiB by default).',
    false,
    'INVALID_ARGUMENT',
    413,
    CloseCode.FrameTooLarge,
  ),
  too_late: entry(
    'It is being delivered, or was: it cannot be cancelled any more.',
    false,
    'FAILED_PRECONDITION',
    409,
    CloseCode.BadFrame,
  ),
  id_conflict: entry(
    'Another push was taken under this id, or this one was and then cancelled: it will not appear again. Take a fresh id.',
    false,
    'FAILED_PRECONDITION',
    409,
    CloseCode.BadFrame,
  ),
  not_found: entry('There is nothing by that name.', false, 'NOT_FOUND', 404, CloseCode.InternalError),
  overloaded: entry(
    'More is being asked than the node can take. Repeat after the hint.',
    true,
    'RESOURCE_EXHAUSTED',
    429,
    CloseCode.TooManyConnections,
  ),
  session_unknown: entry(
    'There is no such session over HTTP here: it has ended, or another node has it. Connect again, with the cursors.',
    true,
    'NOT_FOUND',
    404,
    CloseCode.Unavailable,
  ),
  session_not_yours: entry(
    'The session over HTTP was opened with another token. Send the one that it was opened with, or choose another Halley-Session.',
    false,
    'PERMISSION_DENIED',
    403,
    CloseCode.BadToken,
  ),
  session_in_use: entry(
    'There is a session over HTTP by this Halley-Session already. Choose another.',
    true,
    'FAILED_PRECONDITION',
    409,
    CloseCode.KeyInUse,
  ),
  poll_out_of_order: entry(
    '`after` of a poll is neither the number of the last response nor the one before it. Connect again, with the cursors.',
    true,
    'FAILED_PRECONDITION',
    409,
    CloseCode.BadFrame,
  ),
  send_out_of_order: entry(
    '`n` of a send is neither the next number nor the last one again, or the one before it has not been answered yet. Send one after another.',
    false,
    'FAILED_PRECONDITION',
    409,
    CloseCode.BadFrame,
  ),
  origin_refused: entry(
    'Pages of this origin may not connect. Put it into ws.origins.',
    false,
    'PERMISSION_DENIED',
    403,
    CloseCode.BadToken,
  ),
  deadline_exceeded: entry(
    'The deadline of the call passed before the push was written: it will never appear.',
    true,
    'DEADLINE_EXCEEDED',
    504,
    CloseCode.Unavailable,
  ),
  bus_refused: entry(
    'The bus refused the record (too few in-sync replicas, or the record is too large for it): it will never appear.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  bus_unknown: entry(
    'The bus did not answer whether the record was written: it may appear. Repeat with the same id before sending the next.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  store_unavailable: entry(
    'The store could not be reached. Repeat.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  schedule_unknown: entry(
    'The database did not answer whether the scheduled push was written: it may appear. Repeat with the same id before sending the next.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  store_full: entry(
    'The store is above its high-water mark (streams.highWaterFraction) or out of memory, and takes nothing more. Repeat later; give it more memory, or see why the archive does not take what the store holds.',
    true,
    'RESOURCE_EXHAUSTED',
    503,
    CloseCode.Unavailable,
  ),
  registry_unavailable: entry(
    'The node registry could not be reached.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  no_node: entry(
    'No node of the tier that is needed is registered. Start one, or wait for it.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  unavailable: entry(
    'The node that was called could not be reached, went away during the call, or did not answer in time: whether the call was carried out is not known. Repeat.',
    true,
    'UNAVAILABLE',
    503,
    CloseCode.Unavailable,
  ),
  wrong_incarnation: entry(
    'The call means an earlier or later start of this node.',
    true,
    'FAILED_PRECONDITION',
    409,
    CloseCode.Unavailable,
  ),
  bad_config: entry(
    'The configuration is wrong; the message names the key, what is wrong and what would be right.',
    false,
    'FAILED_PRECONDITION',
    500,
    CloseCode.InternalError,
  ),
  internal: entry(
    'A fault of Halley. The log has the cause.',
    true,
    'INTERNAL',
    500,
    CloseCode.InternalError,
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

function entry(
  text: string,
  retryable: boolean,
  grpc: GrpcStatusName,
  http: number,
  close: CloseCode,
): ErrorEntry {
  return { text, retryable, grpc, http, close };
}

export interface HalleyErrorOptions {
  /** Kept for the log, never sent. */
  readonly cause?: unknown;
  /** When to repeat, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** The one error class: a code of {@link ERRORS} and a message that may be shown to the caller. */
export class HalleyError extends Error {
  readonly code: ErrorCode;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message?: string, options: HalleyErrorOptions = {}) {
    super(message ?? ERRORS[code].text, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'HalleyError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }

  get entry(): ErrorEntry {
    return ERRORS[this.code];
  }

  get retryable(): boolean {
    return this.entry.retryable;
  }

  /** Any thrown value as a HalleyError: what is not one becomes `internal` with it as the cause. */
  static from(thrown: unknown): HalleyError {
    return thrown instanceof HalleyError ? thrown : new HalleyError('internal', undefined, { cause: thrown });
  }
}
