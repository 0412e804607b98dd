import { z } from 'zod';

import { parseInt64 } from '../../int64.js';

const NO_INT64 = unless('is no 64-bit integer: a whole number, as text when it is above 2^53');
const NO_MILLIS = unless('must be a whole number of milliseconds, 0 or more');

function unless(what: string) {
  return { error: ({ input }: { input?: unknown }) => (input === undefined ? 'is missing' : what) };
}

/**
 * A 64-bit integer of a JSON body: a number where it is exact, or text; comes out as text in decimal, exact. More than
 * 53 bits fit into no number of JSON as most libraries write it, and are refused instead of being rounded.
 */
export function int64(description: string) {
  return z
    .union([z.int(NO_INT64), z.string().regex(/^[+-]?[0-9]{1,19}$/, NO_INT64)], NO_INT64)
    .transform((value, context) => {
      const exact = parseInt64(String(value));
      if (exact === undefined) context.addIssue('is out of the range of 64 bits');
      return exact ?? '0';
    })
    .meta({ description });
}

/** A time or a duration of a JSON body in milliseconds, 0 or more, as a number or text; comes out as text. */
export function millis(description: string) {
  return z
    .union([z.int(NO_MILLIS).min(0, NO_MILLIS), z.string().regex(/^[0-9]{1,19}$/, NO_MILLIS)], NO_MILLIS)
    .transform(String)
    .meta({ description });
}

/** A user id, as text: JSON's numbers may not hold all 64 bits. */
export const midText = z
  .string()
  .regex(/^-?[0-9]{1,19}$/)
  .meta({ description: 'A user id: a 64-bit integer, as text.', example: '1' });

/** Milliseconds of a reply. */
export const millisReply = (description: string) => z.number().int().meta({ description });

/** A 64-bit integer of a query or path; comes out as text in decimal, exact. */
export function int64Text(description: string) {
  return z
    .string()
    .transform((text, context) => {
      const exact = parseInt64(text);
      if (exact === undefined) context.addIssue(`${shown(text)} is not a 64-bit integer`);
      return exact ?? '0';
    })
    .meta({ description, override: { type: 'string', pattern: '^[+-]?[0-9]{1,19}$' } });
}

/** A whole number of a query from `low` to `high`. */
export function countText(low: number, high: number, description: string) {
  return z
    .string()
    .transform((text, context) => {
      const exact = parseInt64(text);
      if (exact === undefined) context.addIssue(`${shown(text)} is no whole number`);
      else if (Number(exact) < low) context.addIssue(`${exact}, less than ${low}`);
      else if (Number(exact) > high) context.addIssue(`${exact}, more than ${high}`);
      return Number(exact ?? 0);
    })
    .meta({ description, override: { type: 'integer', minimum: low, maximum: high } });
}

/** Text of the caller as it may stand in a message. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}
