import { stringify } from 'yaml';
import type { z } from 'zod';

import {
  asObject,
  type ConfigKey,
  describeConfig,
  expectation,
  isSecret,
  itemsOf,
  pathText,
} from './config-schema.js';
import {
  badConfig,
  objectSettings,
  readEnvironment,
  readFileSettings,
  readFlags,
  type Setting,
  show,
} from './config-sources.js';

export { type ConfigKey, describeConfig, withoutDefaults } from './config-schema.js';
export { RESERVED_ENVIRONMENT } from './config-sources.js';

/** Where the values come from; a later one wins: defaults, file, environment, flags. */
export interface ConfigSources {
  /** Values that stand below all others, as those of the embedded start. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** A YAML file. */
  readonly file?: string | undefined;
  /** Usually process.env; nothing is read from it when absent. */
  readonly env?: NodeJS.ProcessEnv;
  /** Command-line arguments, as `['--tcp.port', '3101']`. */
  readonly flags?: readonly string[];
}

/**
 * Reads a configuration. Every object of the schema is filled in where the sources leave it out, so leaves need a
 * default and sections don't. Throws HalleyError `bad_config`, whose message is one line: where it was said, which key,
 * what is wrong and what would be right.
 */
export function loadConfig<Schema extends z.ZodObject>(
  schema: Schema,
  sources: ConfigSources,
): z.output<Schema> {
  const keys = describeConfig(schema);
  const settings: Setting[] = [];
  if (sources.defaults) settings.push(...objectSettings(sources.defaults, 'default', schema, keys));
  if (sources.file !== undefined) settings.push(...readFileSettings(sources.file, schema, keys));
  if (sources.env) settings.push(...readEnvironment(sources.env, keys));
  if (sources.flags) settings.push(...readFlags(sources.flags, keys));

  const said = new Map<string, Setting>();
  for (const setting of settings) said.set(setting.key.key, setting);
  const raw = sections(schema);
  for (const setting of said.values()) put(raw, setting.key.path, setting.value);

  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (!issue) throw badConfig('the configuration is wrong');
  throw badConfig(explain(issue, keys, said), result.error);
}

/** The values in effect as YAML, secrets hidden. */
export function printConfig(value: unknown, schema: z.ZodObject): string {
  return stringify(masked(value, schema), { lineWidth: 0 });
}

function explain(
  issue: z.core.$ZodIssue,
  keys: readonly ConfigKey[],
  said: ReadonlyMap<string, Setting>,
): string {
  const key = keys.find(({ path }) => path.every((name, index) => issue.path[index] === name));
  if (!key) {
    const where = issue.path.length > 0 ? `${pathText(issue.path)}: ` : '';
    return `configuration: ${where}${issue.message}`;
  }
  const setting = said.get(key.key);
  const where = setting?.source ?? `configuration: ${key.key}`;
  if (!setting) return `${where} is missing; it must be ${expectation(key)}`;
  const inside = issue.path.length > key.path.length;
  if (issue.code === 'custom' || (inside && key.kind === 'structure')) {
    const at = inside ? `${pathText(issue.path.slice(key.path.length - 1))}: ` : '';
    return `${where}: ${at}${issue.message}`;
  }
  const value = key.secret ? 'the value' : show(setting.value);
  // A message that was written for this check says more than the type does.
  if (issue.code === 'invalid_format' && !issue.message.startsWith('Invalid'))
    return `${where}: ${value} ${issue.message}`;
  const notes = [
    ...(key.unit === undefined ? [] : [`in ${key.unit}`]),
    ...(key.defaultText === undefined || key.secret ? [] : [`${key.defaultText} by default`]),
  ];
  return `${where}: ${value} is not ${expectation(key)}${notes.length > 0 ? ` (${notes.join(', ')})` : ''}`;
}

/** Nested empty objects for every section that is not optional. */
function sections(schema: z.ZodObject): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, child] of Object.entries(schema.shape)) {
    const object = asObject(child as z.ZodType);
    if (object && !(child as z.ZodType).isOptional()) out[name] = sections(object);
    else if (object && (child as z.ZodType).safeParse(undefined).data !== undefined)
      out[name] = sections(object);
  }
  return out;
}

function put(root: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let node = root;
  for (const name of path.slice(0, -1)) {
    node[name] ??= {};
    node = node[name] as Record<string, unknown>;
  }
  const last = path.at(-1);
  if (last !== undefined) node[last] = value;
}

function masked(value: unknown, schema: z.ZodType | undefined): unknown {
  if (schema && isSecret(schema)) return value === undefined || value === '' ? value : '***';
  if (typeof value === 'string') return value.replace(/(\w:\/\/[^/@:\s]*):[^/@\s]+@/g, '$1:***@');
  if (Array.isArray(value)) {
    const items = schema && itemsOf(schema);
    return value.map((item) => masked(item, items));
  }
  if (typeof value !== 'object' || value === null) return value;
  const object = schema && asObject(schema);
  const shape = object?.shape as Record<string, z.ZodType> | undefined;
  return Object.fromEntries(
    Object.entries(value).map(([name, child]) => [name, masked(child, shape?.[name])]),
  );
}
