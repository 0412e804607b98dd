import { z } from 'zod';

/** What a key of the configuration is, read from its zod schema. One row of docs/config.md. */
export interface ConfigKey {
  /** `tcp.port` */
  readonly key: string;
  readonly path: readonly string[];
  /** `HALLEY_TCP_PORT` */
  readonly env: string;
  /** Other environment variables that set it, as goim's REGION. */
  readonly envAliases: readonly string[];
  /** `--tcp.port` */
  readonly flag: string;
  /** Shorter flags that set it, as `--bind`. */
  readonly flagAliases: readonly string[];
  readonly kind: ConfigKind;
  /** In words, as `whole number` or `tcp, websocket`. */
  readonly type: string;
  /** The default as it would stand in YAML; absent when there is none. */
  readonly defaultText: string | undefined;
  readonly unit: string | undefined;
  /** What is accepted, as `0 to 65535`. */
  readonly range: string | undefined;
  /** What is sensible, from `meta.range`. */
  readonly sane: string | undefined;
  readonly description: string;
  /** Never printed. */
  readonly secret: boolean;
  readonly schema: z.ZodType;
}

export type ConfigKind = 'number' | 'boolean' | 'string' | 'strings' | 'numbers' | 'structure';

/** What stands in `.meta()` of a key. */
interface KeyMeta {
  readonly description?: string;
  readonly unit?: string;
  readonly range?: string;
  readonly secret?: boolean;
  readonly env?: string | readonly string[];
  readonly flag?: string | readonly string[];
}

interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: string | number | boolean;
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly default?: unknown;
}

/** Every key of a nested zod object, in its order. */
export function describeConfig(schema: z.ZodObject): ConfigKey[] {
  return walk(schema, []);
}

/**
 * The same keys, all optional and without defaults: what the sources say and no more. Without `aliases`, keys are set by
 * their own names only, for a schema that stands below another as a section.
 */
export function withoutDefaults(schema: z.ZodObject, { aliases = true } = {}): z.ZodObject {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, child] of Object.entries(schema.shape)) {
    const object = asObject(child as z.ZodType);
    if (object) {
      shape[name] = withoutDefaults(object, { aliases }).optional();
    } else {
      shape[name] = unwrap(child as z.ZodType)
        .optional()
        .meta({
          ...metaOf(child as z.ZodType),
          default: defaultOf(child as z.ZodType),
          ...(aliases ? {} : { env: [], flag: [] }),
        });
    }
  }
  return z.object(shape);
}

/** The object below `.default()`, `.prefault()` and `.optional()`; undefined when the schema is a leaf. */
export function asObject(schema: z.ZodType): z.ZodObject | undefined {
  const inner = unwrap(schema);
  return inner instanceof z.ZodObject ? inner : undefined;
}

/** `session.handshakeTimeoutMs` → `HALLEY_SESSION_HANDSHAKE_TIMEOUT_MS` */
export function envName(path: readonly string[]): string {
  const words = path.map((name) => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase());
  return `HALLEY_${words.join('_')}`;
}

/** `auth.keys[0].name` */
export function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path)
    text += typeof part === 'number' ? `[${part}]` : `${text ? '.' : ''}${String(part)}`;
  return text;
}

/** What a value of this key must be, in words: `a whole number from 0 to 65535`. */
export function expectation(key: ConfigKey): string {
  const range = key.range === undefined ? '' : ` ${/^\d/.test(key.range) ? `from ${key.range}` : key.range}`;
  switch (key.kind) {
    case 'number':
      return `a ${key.type}${range}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return key.type === 'text' ? `text${range}` : `one of ${key.type}`;
    case 'strings':
    case 'numbers':
      return `a ${key.type}${range}`;
    case 'structure':
      return key.type;
  }
}

/** Whether a leaf, or an object inside a list, is marked secret. */
export function isSecret(schema: z.ZodType): boolean {
  return metaOf(schema).secret === true;
}

/** The schema of a list's items, when the schema is a list. */
export function itemsOf(schema: z.ZodType): z.ZodType | undefined {
  const inner = unwrap(schema);
  return inner instanceof z.ZodArray ? (inner.element as z.ZodType) : undefined;
}

function walk(schema: z.ZodObject, prefix: readonly string[]): ConfigKey[] {
  const keys: ConfigKey[] = [];
  for (const [name, child] of Object.entries(schema.shape)) {
    const path = [...prefix, name];
    const object = asObject(child as z.ZodType);
    if (object) keys.push(...walk(object, path));
    else keys.push(leaf(child as z.ZodType, path));
  }
  return keys;
}

function leaf(schema: z.ZodType, path: readonly string[]): ConfigKey {
  const meta = metaOf(schema);
  const json = z.toJSONSchema(unwrap(schema), { io: 'input', unrepresentable: 'any' }) as JsonSchema;
  const { kind, type } = kindOf(json);
  const fallback = defaultOf(schema);
  return {
    key: path.join('.'),
    path,
    env: envName(path),
    envAliases: list(meta.env),
    flag: `--${path.join('.')}`,
    flagAliases: list(meta.flag)
      .map((flag) => `--${flag}`)
      .filter((flag) => flag !== `--${path.join('.')}`),
    kind,
    type,
    defaultText: fallback === undefined ? undefined : JSON.stringify(fallback),
    unit: meta.unit,
    range: rangeOf(json),
    sane: meta.range,
    description: meta.description ?? '',
    secret: meta.secret === true,
    schema,
  };
}

function kindOf(json: JsonSchema): { kind: ConfigKind; type: string } {
  const choices = choicesOf(json);
  if (choices) return { kind: 'string', type: choices.join(', ') };
  const main = json.anyOf?.find((option) => option.type !== 'null') ?? json;
  switch (main.type ?? '') {
    case 'integer':
      return { kind: 'number', type: 'whole number' };
    case 'number':
      return { kind: 'number', type: 'number' };
    case 'boolean':
      return { kind: 'boolean', type: 'true or false' };
    case 'string':
      return { kind: 'string', type: 'text' };
    case 'array': {
      const items = main.items ?? {};
      if (items.type === 'integer' || items.type === 'number')
        return { kind: 'numbers', type: 'list of numbers' };
      const words = choicesOf(items);
      if (words) return { kind: 'strings', type: `list of ${words.join(', ')}` };
      if (items.type === 'string') return { kind: 'strings', type: 'list of texts' };
      return { kind: 'structure', type: 'a list of objects' };
    }
    default:
      return { kind: 'structure', type: 'an object' };
  }
}

function choicesOf(json: JsonSchema): string[] | undefined {
  if (json.enum) return json.enum.map(String);
  if (json.const !== undefined) return [String(json.const)];
  if (json.anyOf?.every((option) => option.const !== undefined))
    return json.anyOf.map((option) => String(option.const));
  return undefined;
}

function rangeOf(json: JsonSchema): string | undefined {
  if (json.type === 'string') return lengthOf(json);
  const low = json.minimum ?? json.exclusiveMinimum;
  const high = json.maximum ?? json.exclusiveMaximum;
  const hasLow = low !== undefined && low > Number.MIN_SAFE_INTEGER;
  const hasHigh = high !== undefined && high < Number.MAX_SAFE_INTEGER;
  if (hasLow && hasHigh) return `${low} to ${high}`;
  if (hasLow) return json.minimum === undefined ? `above ${low}` : `of at least ${low}`;
  if (hasHigh) return json.maximum === undefined ? `below ${high}` : `of at most ${high}`;
  return undefined;
}

function lengthOf({ minLength, maxLength }: JsonSchema): string | undefined {
  if (maxLength !== undefined)
    return minLength ? `of ${minLength} to ${maxLength} characters` : `of at most ${maxLength} characters`;
  if (minLength === 1) return 'that is not empty';
  return minLength ? `of at least ${minLength} characters` : undefined;
}

function unwrap(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return unwrap(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodReadonly)
    return unwrap(schema.unwrap() as z.ZodType);
  return schema;
}

function metaOf(schema: z.ZodType): KeyMeta {
  const own = (schema.meta() ?? {}) as KeyMeta;
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodReadonly
  ) {
    return { ...metaOf(schema.unwrap() as z.ZodType), ...own };
  }
  return own;
}

function defaultOf(schema: z.ZodType): unknown {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return schema.def.defaultValue;
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodReadonly) {
    const inner = defaultOf(schema.unwrap() as z.ZodType);
    return inner === undefined ? (schema.meta() as { default?: unknown } | undefined)?.default : inner;
  }
  return undefined;
}

function list(value: string | readonly string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}
