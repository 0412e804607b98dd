import { createHash, timingSafeEqual } from 'node:crypto';

import { HalleyError } from '@halley/protocol/error';

/** What an API key may be used for. */
export const API_SCOPES = [
  'push',
  'presence',
  'nodes',
  'disconnect',
  'upstream',
  'history',
  'dead-letters',
  'trace',
] as const;
export type ApiScope = (typeof API_SCOPES)[number];

/** An API key of the configuration: `key` is the key itself, `sha256` its SHA-256 in hex. One of the two. */
export interface ApiKeyEntry {
  /** Stands in logs, metrics and records in place of the key. */
  readonly name: string;
  readonly key?: string | undefined;
  readonly sha256?: string | undefined;
  /** Empty is every scope. */
  readonly scopes: readonly ApiScope[];
}

/** Who calls. */
export interface ApiCaller {
  /** The key's name; empty when none is required. */
  readonly name: string;
}

/** What a call brought along: the headers of HTTP or the metadata of gRPC. */
export interface Credentials {
  readonly authorization?: string | undefined;
  readonly apiKey?: string | undefined;
}

/** The keys of the business APIs. Keys are compared by digest in constant time and never logged. */
export class ApiKeys {
  readonly #entries: readonly KnownKey[];

  /** `required`: whether a call without a key is refused also when no key is configured. Throws `bad_config`. */
  constructor(
    entries: readonly ApiKeyEntry[],
    private readonly required: boolean,
  ) {
    this.#entries = entries.map((entry, index) => ({
      name: entry.name,
      digest: digestOf(entry, index),
      scopes: new Set(entry.scopes.length > 0 ? entry.scopes : API_SCOPES),
    }));
  }

  /** Throws `unauthenticated` without a known key and `permission_denied` without the scope, or any of several. */
  check(credentials: Credentials, scope: ApiScope | readonly ApiScope[]): ApiCaller {
    if (this.#entries.length === 0 && !this.required) return { name: '' };
    const given = givenKey(credentials);
    if (given === undefined) throw new HalleyError('unauthenticated');
    const digest = sha256(given);
    let found: KnownKey | undefined;
    // All are compared, so that the time does not tell which one it was.
    for (const entry of this.#entries) if (timingSafeEqual(entry.digest, digest)) found = entry;
    if (!found) throw new HalleyError('unauthenticated');
    const scopes = typeof scope === 'string' ? [scope] : scope;
    if (!scopes.some((one) => found?.scopes.has(one))) {
      throw new HalleyError(
        'permission_denied',
        `the API key "${found.name}" lacks the scope ${scopes.join(' or ')}`,
      );
    }
    return { name: found.name };
  }

  /** Whether whoever was let in under this name may do what the scope is for; every key of the name has to have it. */
  allows(name: string, scope: ApiScope): boolean {
    if (this.#entries.length === 0) return !this.required;
    const keys = this.#entries.filter((entry) => entry.name === name);
    return keys.length > 0 && keys.every(({ scopes }) => scopes.has(scope));
  }
}

interface KnownKey {
  readonly name: string;
  readonly digest: Buffer;
  readonly scopes: ReadonlySet<ApiScope>;
}

function givenKey({ authorization, apiKey }: Credentials): string | undefined {
  const bearer = authorization === undefined ? null : /^bearer +(\S+) *$/i.exec(authorization);
  return bearer?.[1] ?? (apiKey === undefined || apiKey === '' ? undefined : apiKey);
}

function digestOf(entry: ApiKeyEntry, index: number): Buffer {
  if (entry.sha256) {
    if (!/^[0-9a-f]{64}$/i.test(entry.sha256)) {
      throw new HalleyError('bad_config', `api.keys[${index}].sha256: not 64 hex digits`);
    }
    return Buffer.from(entry.sha256, 'hex');
  }
  if (!entry.key) throw new HalleyError('bad_config', `api.keys[${index}]: give key or sha256`);
  return sha256(entry.key);
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
