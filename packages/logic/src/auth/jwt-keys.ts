import { createPublicKey } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';

import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import {
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  exportJWK,
  importJWK,
  type CryptoKey,
  type JSONWebKeySet,
  type JWK,
  type JWSHeaderParameters,
} from 'jose';

/** Where the keys come from that tokens are checked with. Several may be set: each is asked in this order. */
export interface JwtKeySources {
  /** Shared secret for HS256. */
  readonly secret?: string;
  /** PEM of public keys (SPKI) or certificates. */
  readonly publicKeyFiles?: readonly string[];
  /** A JWKS as a file; read again when it changed. */
  readonly jwksFile?: string;
  /** A JWKS by HTTP; fetched when first needed, kept, and fetched again for an unknown `kid`. */
  readonly jwksUrl?: string;
}

/** How often a JWKS file is looked at, in milliseconds. */
const FILE_CHECK_MS = 10_000;

type Key = CryptoKey | Uint8Array;
type Resolve = (header: JWSHeaderParameters) => Promise<Key>;

/**
 * Finds the key for a token's header. Throws jose's JWKSNoMatchingKey when none fits, and `keys_unavailable` when the
 * JWKS cannot be fetched and none was before. A kind of key serves its own algorithms only: a public key is never a secret.
 */
export class JwtKeys {
  readonly #resolvers: Resolve[] = [];

  private constructor() {}

  /** Reads the keys. Throws `bad_config` when a file is missing or is no key. */
  static async load(sources: JwtKeySources, clock: Clock): Promise<JwtKeys> {
    requireJwtSource(sources);
    const keys = new JwtKeys();
    const fixed: JWK[] = [];
    if (sources.secret) fixed.push({ kty: 'oct', k: Buffer.from(sources.secret).toString('base64url') });
    for (const file of sources.publicKeyFiles ?? []) fixed.push(await readPublicKey(file));
    if (fixed.length > 0) keys.#resolvers.push(resolverOf({ keys: fixed }));
    if (sources.jwksFile) keys.#resolvers.push(fileResolver(sources.jwksFile, clock));
    if (sources.jwksUrl) keys.#resolvers.push(remoteResolver(sources.jwksUrl));
    return keys;
  }

  async resolve(header: JWSHeaderParameters): Promise<Key> {
    for (const [index, resolver] of this.#resolvers.entries()) {
      try {
        return await resolver(header);
      } catch (error) {
        const more = index < this.#resolvers.length - 1;
        if (!more || !(error instanceof errors.JWKSNoMatchingKey)) throw error;
      }
    }
    throw new errors.JWKSNoMatchingKey();
  }
}

/** Throws `bad_config` when there is no source of keys. */
export function requireJwtSource({ secret, publicKeyFiles, jwksFile, jwksUrl }: JwtKeySources): void {
  if (secret || (publicKeyFiles && publicKeyFiles.length > 0) || jwksFile || jwksUrl) return;
  throw new HalleyError(
    'bad_config',
    'auth.mode is jwt but no key is set: give auth.jwt.jwksUrl, auth.jwt.jwksFile, auth.jwt.publicKeyFiles or auth.jwt.secret',
  );
}

function resolverOf(jwks: JSONWebKeySet): Resolve {
  const asymmetric = createLocalJWKSet(jwks);
  const secrets = jwks.keys.filter((key) => key.kty === 'oct');
  return async (header) => {
    if (header.alg !== 'HS256') return asymmetric(header);
    // jose's sets hold public keys only.
    const fitting = secrets.filter((key) => !header.kid || !key.kid || key.kid === header.kid);
    const [secret] = fitting;
    if (!secret) throw new errors.JWKSNoMatchingKey();
    return importJWK(secret, 'HS256');
  };
}

async function readPublicKey(file: string): Promise<JWK> {
  try {
    return await exportJWK(createPublicKey(readFileSync(file)));
  } catch (cause) {
    throw new HalleyError(
      'bad_config',
      `auth.jwt.publicKeyFiles: ${file} is not a readable PEM public key or certificate`,
      { cause },
    );
  }
}

function fileResolver(file: string, clock: Clock): Resolve {
  const read = (): { resolve: Resolve; mtimeMs: number } => {
    try {
      const { mtimeMs } = statSync(file);
      return { resolve: resolverOf(JSON.parse(readFileSync(file, 'utf8')) as JSONWebKeySet), mtimeMs };
    } catch (cause) {
      throw new HalleyError('bad_config', `auth.jwt.jwksFile: ${file} is not a readable JWKS`, { cause });
    }
  };
  let current = read();
  let checkedAtMs = clock.monotonicMs();
  return (header) => {
    const now = clock.monotonicMs();
    if (now - checkedAtMs >= FILE_CHECK_MS) {
      checkedAtMs = now;
      try {
        if (statSync(file).mtimeMs !== current.mtimeMs) current = read();
      } catch {
        // Half written or gone for a moment: the keys that were read stay.
      }
    }
    return current.resolve(header);
  };
}

function remoteResolver(url: string): Resolve {
  const remote = createRemoteJWKSet(parseUrl(url), { timeoutDuration: 2_000 });
  return async (header) => {
    try {
      return await remote(header);
    } catch (error) {
      if (isAboutTheToken(error)) throw error;
      // The server is away: what it last answered still holds.
      const last = remote.jwks();
      if (last) return createLocalJWKSet(last)(header);
      throw new HalleyError('keys_unavailable', undefined, { cause: error });
    }
  };
}

/** Whether no key fits, in contrast to: the keys could not be had. */
function isAboutTheToken(error: unknown): boolean {
  return (
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys ||
    error instanceof errors.JOSENotSupported
  );
}

function parseUrl(url: string): URL {
  try {
    return new URL(url);
  } catch (cause) {
    throw new HalleyError('bad_config', 'auth.jwt.jwksUrl: not a URL', { cause });
  }
}
