import type { IncomingHttpHeaders } from 'node:http';

import { parseInt64 } from '../../int64.js';
import { invalid } from '../../push/target.js';
import { shown } from './fields.js';

/** Names the message, as `id` does. */
export const IDEMPOTENCY_KEY_HEADER = 'Idempotency-Key';
/** How long the caller waits for the answer, milliseconds, as gRPC's deadline. */
export const TIMEOUT_HEADER = 'Halley-Timeout-Ms';

const MAX_TIMEOUT_MS = 600_000;

/** The id of a push in the header: as it is, or in quotes as the IETF's draft has it. Throws `invalid_argument`. */
export function readIdempotencyKey(headers: IncomingHttpHeaders): string | undefined {
  const given = headers['idempotency-key'];
  if (given === undefined) return undefined;
  if (typeof given !== 'string') throw invalid(IDEMPOTENCY_KEY_HEADER, 'stands more than once');
  const [, quoted] = /^"((?:[^"\\]|\\["\\])*)"$/.exec(given) ?? [];
  const key = quoted?.replaceAll(/\\(.)/g, '$1') ?? given;
  if (key === '') throw invalid(IDEMPOTENCY_KEY_HEADER, 'is empty');
  return key;
}

/** How long the caller waits, milliseconds; undefined is no bound. Throws `invalid_argument`. */
export function readTimeout(headers: IncomingHttpHeaders): number | undefined {
  const given = headers[TIMEOUT_HEADER.toLowerCase()];
  if (given === undefined) return undefined;
  const timeoutMs = Number(parseInt64(String(given)) ?? Number.NaN);
  if (!(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
    throw invalid(
      TIMEOUT_HEADER,
      `${shown(String(given))} is no number of milliseconds from 1 to ${MAX_TIMEOUT_MS}`,
    );
  }
  return timeoutMs;
}
