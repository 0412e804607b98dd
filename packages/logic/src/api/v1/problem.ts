import { ERRORS, type ErrorCode, type HalleyError } from '@halley/protocol/error';
import { outcomeOf } from '@halley/cluster/grpc/status';
import { z } from 'zod';

/** Media type of a failure (RFC 9457). */
export const PROBLEM_TYPE = 'application/problem+json';

/** What a failure is told as: problem details (RFC 9457). */
export const problemSchema = z
  .object({
    type: z.string().meta({
      description: 'A URN that ends with the code. docs/errors.md has an entry for each.',
      example: 'urn:halley:error:invalid_argument',
    }),
    title: z.string().meta({ description: 'What the code means.' }),
    status: z.int().meta({ description: 'The HTTP status.' }),
    detail: z.string().meta({
      description: 'What was wrong here, and what would be right. For people; match on `code`.',
      example: 'target.users.mids[3]: 0 is anonymous, no user',
    }),
    code: z.string().meta({ description: 'A code of docs/errors.md. Stable.', example: 'invalid_argument' }),
    outcome: z.enum(['refused', 'unknown']).optional().meta({
      description:
        'Of calls that change something. `refused`: it will never come about. `unknown`: it may; repeat with the same id.',
    }),
    retry_after_ms: z
      .int()
      .optional()
      .meta({ description: 'When to repeat; absent when there is no such hint.' }),
  })
  .meta({ id: 'Problem', description: 'Problem details (RFC 9457).' });

export type Problem = z.output<typeof problemSchema>;

/** An error as problem details. `changes`: whether the call would have changed something. */
export function problemOf(error: HalleyError, changes: boolean, status: number = error.entry.http): Problem {
  const { code, message, retryAfterMs } = error;
  return {
    type: `urn:halley:error:${code}`,
    title: titleOf(code),
    status,
    detail: message,
    code,
    ...(changes && { outcome: outcomeOf(error) }),
    ...(retryAfterMs !== undefined && { retry_after_ms: Math.ceil(retryAfterMs) }),
  };
}

/** The first sentence of what docs/errors.md says of it. */
function titleOf(code: ErrorCode): string {
  const { text } = ERRORS[code];
  return /^.*?[.:;](?= )/.exec(text)?.[0].slice(0, -1) ?? text.replace(/\.$/, '');
}
