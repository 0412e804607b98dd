import { HalleyError } from '@halley/protocol/error';
import { z } from 'zod';

import { invalid } from '../../push/target.js';
import { shown } from './fields.js';

/** How many problems one answer names. */
const MAX_TOLD = 5;

/** What a schema makes of a value. Throws `invalid_argument` that names the fields that are wrong, `prefix` before each. */
export function parse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  prefix = '',
): z.output<Schema> {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  throw new HalleyError(
    'invalid_argument',
    error.issues
      .slice(0, MAX_TOLD)
      .map((issue) => told(issue, schema, prefix))
      .join('; '),
  );
}

/** The fields of a query. One that stands twice is refused: all but one would be missing unnoticed. */
export function parseQuery(schema: z.ZodObject | undefined, query: string): unknown {
  const fields = new URLSearchParams(query);
  const lists = new Set(
    schema
      ? Object.entries(schema.shape)
          .filter(isList)
          .map(([name]) => name)
      : [],
  );
  const values = new Map<string, string | string[]>();
  for (const name of fields.keys()) {
    const all = fields.getAll(name);
    if (lists.has(name)) values.set(name, all);
    else if (all.length > 1) throw invalid(shownName(name), 'stands more than once');
    else values.set(name, all[0] ?? '');
  }
  return parse(schema ?? NO_FIELDS, Object.fromEntries(values));
}

/** A JSON body. Throws `invalid_argument`. */
export function parseBody(schema: z.ZodType, bytes: Buffer): unknown {
  if (bytes.length === 0) throw invalid('body', 'is empty; it is JSON');
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(bytes));
  } catch (error) {
    throw new HalleyError('invalid_argument', `the body is not JSON: ${(error as Error).message}`);
  }
  return parse(schema, value);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
const NO_FIELDS = z.strictObject({});

function isList([, field]: [string, unknown]): boolean {
  let schema = field;
  while (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) schema = schema.unwrap();
  return schema instanceof z.ZodArray || (schema instanceof z.ZodPipe && schema.in instanceof z.ZodArray);
}

function told(issue: z.core.$ZodIssue, schema: z.ZodType, prefix: string): string {
  if (issue.code === 'unrecognized_keys') {
    const path = prefix + pathOf([...issue.path, issue.keys[0] ?? '']);
    const known = issue.path.length === 0 && schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const hint = known.length > 0 ? `; there are ${known.join(', ')}` : '';
    return `${path}: there is no such field${hint}`;
  }
  const path = issue.path.length === 0 ? prefix.replace(/\.$/, '') : prefix + pathOf(issue.path);
  return `${path || 'body'}: ${reasonOf(issue)}`;
}

/** What is wrong with a value, in our words where the schema has none of its own. */
function reasonOf(issue: z.core.$ZodIssue): string {
  const { message } = issue;
  if (issue.code === 'invalid_type' && message.startsWith('Invalid input')) {
    return message.endsWith('received undefined')
      ? 'is missing'
      : `must be ${KINDS[issue.expected] ?? issue.expected}`;
  }
  if (issue.code === 'invalid_value' && message.startsWith('Invalid ')) {
    return `must be ${issue.values.map(String).join(' or ')}`;
  }
  return message;
}

const KINDS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'an object',
  string: 'text',
};

/** As gRPC names them: `target.users.mids[3]`. */
function pathOf(path: readonly PropertyKey[]): string {
  return path
    .map((part, index) =>
      typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${shownName(String(part))}`,
    )
    .join('');
}

function shownName(name: string): string {
  return /^\w{1,40}$/.test(name) ? name : shown(name);
}
