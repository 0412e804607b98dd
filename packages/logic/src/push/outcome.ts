import { outcomeOf as outcomeOfError } from '@halley/cluster/grpc/status';
import { HalleyError } from '@halley/protocol/error';
import type { PushResult } from '@halley/cluster/grpc/gen/halley/push/v1/PushResult';

/** `refused`: it will never appear. `unknown`: it may appear; repeat with the same id before sending the next. */
export type Outcome = 'ok' | 'refused' | 'unknown';

/** What an error says about the push that met it. */
export function outcomeOf(error: HalleyError | undefined): Outcome {
  return error ? outcomeOfError(error) : 'ok';
}

/**
 * One answer for a push that was written to several places, of which some failed: refused when all were refused, else
 * unknown. Undefined when none failed.
 */
export function joinErrors(errors: readonly (HalleyError | undefined)[]): HalleyError | undefined {
  const failed = errors.filter((error) => error !== undefined);
  const [first] = failed;
  if (!first) return undefined;
  const unknown = failed.find((error) => outcomeOf(error) === 'unknown');
  if (unknown) return unknown;
  return failed.length === errors.length
    ? first
    : new HalleyError('bus_unknown', undefined, { cause: first });
}

/** The answer of a batch or stream for one push. */
export function resultOf(id: string, error: HalleyError | undefined): PushResult {
  if (!error) return { id, outcome: 'OUTCOME_OK' };
  return {
    id,
    outcome: outcomeOf(error) === 'unknown' ? 'OUTCOME_UNKNOWN' : 'OUTCOME_REFUSED',
    code: error.code,
    message: error.message,
    retry_after_ms: error.retryAfterMs ?? 0,
  };
}
