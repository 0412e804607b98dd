import { readFileSync } from 'node:fs';

import { HalleyError } from '@halley/protocol/error';
import { closest, distance } from 'fastest-levenshtein';
import { parse as parseYaml, YAMLParseError } from 'yaml';
import type { z } from 'zod';

import { asObject, type ConfigKey, itemsOf, pathText } from './config-schema.js';

/** One value that a source gives to one key. */
export interface Setting {
  readonly key: ConfigKey;
  readonly value: unknown;
  /** Where it was said, for messages: `file halley.yaml: tcp.port`, `environment HALLEY_TCP_PORT`, `flag --tcp.port`. */
  readonly source: string;
}

/** HALLEY_* variables that are no keys of the configuration; docs/config.md lists them. */
export const RESERVED_ENVIRONMENT: Readonly<Record<string, string>> = {
  HALLEY_CONFIG: 'The configuration file, when `--config` does not name one.',
  HALLEY_API_KEY: 'The API key of `halley push` and `halley nodes`, when `--api-key` does not give one.',
  HALLEY_CACHE:
    'Where `npm run cluster` and the tests keep the services that they fetch; `~/.cache/halley` by default.',
  HALLEY_NATIVE:
    '`off`: comet writes by Node alone, without the native send loop, and `halley bench` reads without its C program.',
};

/** Variables of the test suites, which start processes of ours with their own environment. */
const TEST_NAME = /^HALLEY_(TEST|CONFORMANCE)_/;

/** What Kubernetes puts into the environment for a service named `halley-…`; never meant for us. */
const KUBERNETES_NAME = /_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP)(_\w+)?$/;
const KUBERNETES_VALUE = /^(tcp|udp):\/\//;

/** Reads a YAML file. Throws `bad_config` for what is not there, not YAML, or has an unknown key. */
export function readFileSettings(file: string, schema: z.ZodObject, keys: readonly ConfigKey[]): Setting[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const reason =
      (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : 'cannot be read';
    throw badConfig(`configuration file ${file}: ${reason}`, error);
  }
  let root: unknown;
  try {
    root = parseYaml(text);
  } catch (error) {
    throw badConfig(`configuration file ${file}: ${yamlReason(error)}`, error);
  }
  if (root === null || root === undefined) return [];
  return objectSettings(root, `file ${file}:`, schema, keys);
}

/** The settings of a nested plain object. */
export function objectSettings(
  root: unknown,
  label: string,
  schema: z.ZodObject,
  keys: readonly ConfigKey[],
): Setting[] {
  const byKey = new Map(keys.map((key) => [key.key, key]));
  const settings: Setting[] = [];
  const visit = (node: unknown, object: z.ZodObject, path: readonly string[]): void => {
    if (node === null || node === undefined) return;
    if (!isPlainObject(node)) {
      const what = path.length > 0 ? `${path.join('.')} is a section` : 'the top level is made of sections';
      throw badConfig(`${label} ${what}: write its keys below it, indented, not ${show(node)}`);
    }
    for (const [name, value] of Object.entries(node)) {
      const below = [...path, name];
      const child = own(object.shape, name);
      if (!child) throw unknownKey(label, below, keys);
      const section = asObject(child);
      if (section) {
        visit(value, section, below);
        continue;
      }
      const key = byKey.get(below.join('.'));
      if (!key || value === null || value === undefined) continue;
      checkInside(value, child, below, label);
      settings.push({ key, value, source: `${label} ${key.key}` });
    }
  };
  visit(root, schema, []);
  return settings;
}

/** HALLEY_* variables and the aliases of keys. An empty variable counts as not set. */
export function readEnvironment(env: NodeJS.ProcessEnv, keys: readonly ConfigKey[]): Setting[] {
  const byName = new Map(keys.map((key) => [key.env, key]));
  const settings: Setting[] = [];
  for (const key of keys) {
    for (const alias of key.envAliases) {
      const text = env[alias];
      if (text)
        settings.push({
          key,
          value: given(text, key, `environment ${alias}:`),
          source: `environment ${alias}`,
        });
    }
  }
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('HALLEY_') || name in RESERVED_ENVIRONMENT || TEST_NAME.test(name)) continue;
    const key = byName.get(name);
    if (!key) {
      if (KUBERNETES_NAME.test(name) || KUBERNETES_VALUE.test(text ?? '')) continue;
      throw badConfig(`environment ${name}: there is no such setting${nearest(name, [...byName.keys()])}`);
    }
    if (text)
      settings.push({ key, value: given(text, key, `environment ${name}:`), source: `environment ${name}` });
  }
  return settings;
}

/** `--tcp.port 1`, `--tcp.port=1`, `--ws.enabled`, and the short names of keys. */
export function readFlags(flags: readonly string[], keys: readonly ConfigKey[]): Setting[] {
  const byFlag = new Map<string, ConfigKey>();
  for (const key of keys) {
    for (const name of [key.flag, ...key.flagAliases]) byFlag.set(name, key);
  }
  const settings = new Map<ConfigKey, Setting>();
  for (let index = 0; index < flags.length; index += 1) {
    const token = flags[index] ?? '';
    if (!token.startsWith('--'))
      throw badConfig(`unexpected argument ${show(token)}; settings are written --key value`);
    const equals = token.indexOf('=');
    const name = equals < 0 ? token : token.slice(0, equals);
    const key = byFlag.get(name);
    if (!key) {
      const hint = nearest(name, [...byFlag.keys()]) || '; --help lists them';
      throw badConfig(`flag ${name}: there is no such setting${hint}`);
    }
    let text = equals < 0 ? undefined : token.slice(equals + 1);
    if (text === undefined) {
      const next = flags[index + 1];
      const isValue = next !== undefined && (!next.startsWith('-') || /^-\d/.test(next));
      if (key.kind === 'boolean' && !(isValue && isBoolean(next))) text = 'true';
      else if (isValue) {
        text = next;
        index += 1;
      } else throw badConfig(`flag ${name} needs a value, as ${name}=VALUE`);
    }
    const before = settings.get(key)?.value;
    const value = given(text, key, `flag ${name}:`);
    const both =
      Array.isArray(before) && Array.isArray(value)
        ? [...(before as unknown[]), ...(value as unknown[])]
        : value;
    settings.set(key, { key, value: both, source: `flag ${name}` });
  }
  return [...settings.values()];
}

/** The HalleyError of everything that is wrong with a configuration. */
export function badConfig(message: string, cause?: unknown): HalleyError {
  return new HalleyError('bad_config', message, cause === undefined ? {} : { cause });
}

/** A value as it is shown in a message: one line, short. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function given(text: string, key: ConfigKey, label: string): unknown {
  const value = fromText(text, key);
  checkInside(value, key.schema, key.path.slice(-1), label);
  return value;
}

/** Text of the environment or a flag as the key's type; what does not convert stays text, and the schema refuses it. */
function fromText(text: string, key: ConfigKey): unknown {
  switch (key.kind) {
    case 'number':
      return toNumber(text);
    case 'boolean':
      return toBoolean(text);
    case 'string':
      return text;
    case 'strings':
    case 'numbers': {
      const trimmed = text.trim();
      if (trimmed.startsWith('[')) return structure(trimmed);
      const parts = trimmed === '' ? [] : trimmed.split(',').map((part) => part.trim());
      return key.kind === 'numbers' ? parts.map(toNumber) : parts;
    }
    case 'structure':
      return structure(text);
  }
}

function structure(text: string): unknown {
  try {
    return parseYaml(text) as unknown;
  } catch {
    return text;
  }
}

function toNumber(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text;
}

const BOOLEANS: Readonly<Record<string, boolean>> = {
  true: true,
  yes: true,
  on: true,
  '1': true,
  false: false,
  no: false,
  off: false,
  '0': false,
};

function isBoolean(text: string): boolean {
  return own(BOOLEANS, text.trim().toLowerCase()) !== undefined;
}

function toBoolean(text: string): boolean | string {
  return own(BOOLEANS, text.trim().toLowerCase()) ?? text;
}

/** Unknown keys of objects inside a list. */
function checkInside(value: unknown, schema: z.ZodType, path: readonly PropertyKey[], label: string): void {
  const items = itemsOf(schema);
  if (!items || !Array.isArray(value)) return;
  const object = asObject(items);
  if (!object) return;
  for (const [index, item] of value.entries()) {
    if (!isPlainObject(item)) continue;
    for (const name of Object.keys(item)) {
      if (own(object.shape, name)) continue;
      const hint = nearest(name, Object.keys(object.shape));
      throw badConfig(`${label} ${pathText([...path, index, name])}: there is no such key${hint}`);
    }
  }
}

function unknownKey(label: string, path: readonly string[], keys: readonly ConfigKey[]): HalleyError {
  const text = path.join('.');
  const names = new Set<string>();
  for (const key of keys) {
    for (let depth = 1; depth <= key.path.length; depth += 1) names.add(key.path.slice(0, depth).join('.'));
  }
  const last = path.at(-1);
  const sameName = keys.filter((key) => key.path.at(-1) === last && key.key !== text);
  const hint =
    sameName.length === 1 && sameName[0] ? `; did you mean ${sameName[0].key}?` : nearest(text, [...names]);
  return badConfig(`${label} ${text}: there is no such key${hint}`);
}

function nearest(name: string, names: readonly string[]): string {
  if (names.length === 0) return '';
  // A key that is only there below a section, as comet.ops.port of the embedded start.
  const bare = name.replace(/^(--|HALLEY_)/, '');
  const longer = names.find((known) => known.endsWith(`.${bare}`) || known.endsWith(`_${bare}`));
  if (longer !== undefined) return `; did you mean ${longer}?`;
  const best = closest(name, names);
  return distance(name, best) <= Math.max(3, name.length / 2) ? `; did you mean ${best}?` : '';
}

function yamlReason(error: unknown): string {
  if (!(error instanceof YAMLParseError)) return 'is not YAML';
  const [at] = error.linePos ?? [];
  const reason = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
  return at ? `line ${at.line}, column ${at.col}: ${reason}` : reason;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own<Value>(object: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
