import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import type { Clock } from '@halley/service/clock';
import { errors, jwtVerify } from 'jose';
import { LosslessNumber } from 'lossless-json';

import { parseInt64 } from '../int64.js';
import type { JwtKeys } from './jwt-keys.js';
import { int32List, isPlainObject, lastValue, parseJson } from './token-json.js';
import type { RoomGrants, TokenVerifier, VerifiedToken } from './verifier.js';

/** The algorithms that may be allowed. */
export const JWT_ALGORITHMS = ['HS256', 'RS256', 'ES256', 'EdDSA'] as const;

export interface JwtOptions {
  readonly keys: JwtKeys;
  readonly algorithms: readonly (typeof JWT_ALGORITHMS)[number][];
  /** Accepted `iss`; empty takes any. */
  readonly issuers: readonly string[];
  /** Accepted `aud`; empty takes any. */
  readonly audiences: readonly string[];
  /** How far clocks may be apart. */
  readonly leewayMs: number;
  readonly clock: Clock;
}

/**
 * Verifies JSON Web Tokens (RFC 7519). Claims: `mid` (an integer or decimal text) or `sub` (decimal text) is the user,
 * exact to 64 bits; `key`, `room_id`, `platform`, `accepts` as in goim's token; `rooms` is a list of room patterns that
 * may be joined beside `room_id`, where `*` stands for any run of characters and `"*"` alone is every room. `publish` is such
 * a list of rooms that may be sent to, and `send_users` says whether users may be: without them neither is granted, whatever
 * may be joined.
 */
export class JwtVerifier implements TokenVerifier {
  constructor(private readonly options: JwtOptions) {}

  async verify(token: Uint8Array): Promise<VerifiedToken> {
    const { keys, algorithms, issuers, audiences, leewayMs, clock } = this.options;
    const compact = Buffer.from(token.buffer, token.byteOffset, token.byteLength).toString('latin1').trim();
    try {
      await jwtVerify(compact, (header) => keys.resolve(header), {
        algorithms: [...algorithms],
        ...(issuers.length > 0 ? { issuer: [...issuers] } : {}),
        ...(audiences.length > 0 ? { audience: [...audiences] } : {}),
        clockTolerance: leewayMs / 1_000,
        currentDate: new Date(clock.now()),
      });
    } catch (error) {
      throw refusal(error);
    }
    // jose has read the payload with JSON.parse, which rounds large integers: read it again, exactly.
    const payload = parseJson(Buffer.from(compact.split('.')[1] ?? '', 'base64url'));
    if (!isPlainObject(payload)) throw new HalleyError('bad_token', 'the payload is not a JSON object');
    return readClaims((name) => lastValue(payload[name]), leewayMs);
  }
}

function readClaims(claim: (name: string) => unknown, leewayMs: number): VerifiedToken {
  const roomId = optionalText('room_id', claim('room_id'));
  const expires = claim('exp');
  return {
    mid: userOf(claim('mid'), claim('sub')),
    key: optionalText('key', claim('key')),
    roomId,
    platform: optionalText('platform', claim('platform')),
    accepts: isMissing(claim('accepts')) ? [] : int32List(claim('accepts')),
    expiresAtMs: expires instanceof LosslessNumber ? Math.ceil(Number(expires.value) * 1_000) + leewayMs : 0,
    rooms: grantsOf('rooms', claim('rooms'), roomId),
    publish: grantsOf('publish', claim('publish')),
    sendToUsers: optionalBool('send_users', claim('send_users')),
  };
}

function userOf(mid: unknown, sub: unknown): UserId {
  const [claim, value] = isMissing(mid) ? ['sub', sub] : ['mid', mid];
  const text = value instanceof LosslessNumber ? value.value : value;
  const exact = typeof text === 'string' ? parseInt64(text) : undefined;
  if (exact === undefined) {
    throw new HalleyError(
      'bad_token',
      `${String(claim)}: the user, a 64-bit integer, is missing or malformed`,
    );
  }
  return exact as UserId;
}

function grantsOf(name: string, list: unknown, roomId = ''): RoomGrants {
  const patterns: string[] = [];
  if (!isMissing(list)) {
    if (!Array.isArray(list)) throw new HalleyError('bad_token', `${name}: not a list`);
    for (const [index, pattern] of (list as readonly unknown[]).entries()) {
      if (typeof pattern !== 'string') throw new HalleyError('bad_token', `${name}[${index}]: not a string`);
      patterns.push(pattern);
    }
  }
  // The room of the token may be entered again later; a `*` in its name is no pattern, so such a room is not listed.
  if (roomId !== '' && !roomId.includes('*')) patterns.push(roomId);
  return { any: patterns.includes('*'), patterns: [...new Set(patterns)] };
}

function optionalText(name: string, value: unknown): string {
  if (isMissing(value)) return '';
  if (typeof value !== 'string') throw new HalleyError('bad_token', `${name}: not a string`);
  return value;
}

function optionalBool(name: string, value: unknown): boolean {
  if (isMissing(value)) return false;
  if (typeof value !== 'boolean') throw new HalleyError('bad_token', `${name}: neither true nor false`);
  return value;
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null;
}

/** jose's errors as ours; what they quote of the token is left out. */
function refusal(error: unknown): HalleyError {
  if (error instanceof HalleyError) return error;
  if (error instanceof errors.JWTExpired) return new HalleyError('token_expired');
  if (error instanceof errors.JWTClaimValidationFailed) {
    return new HalleyError('bad_token', `${error.claim}: ${error.reason.replaceAll('_', ' ')}`);
  }
  if (error instanceof errors.JWKSNoMatchingKey)
    return new HalleyError('bad_token', 'no key fits this token');
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return new HalleyError('bad_token', 'the algorithm of the token is not allowed');
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return new HalleyError('bad_token', 'the signature does not fit');
  }
  if (error instanceof errors.JOSEError || error instanceof TypeError) {
    return new HalleyError('bad_token', 'not a valid JSON Web Token');
  }
  return HalleyError.from(error);
}
