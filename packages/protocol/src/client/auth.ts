import { HalleyError } from '../error.js';
import { VERSION_2 } from '../frame-v2.js';
import { Start } from './bodies.js';

/** What the body of 7 asks for. */
export interface AuthRequest {
  /** 1 where version 2 was not asked for; then nothing of the rest is set. */
  readonly version: 1 | 2;
  /** The token as it came, for whoever verifies it. */
  readonly token: Uint8Array;
  /** Where the device goes on in its inbox. */
  readonly cursor: { readonly epoch: string; readonly position: number } | undefined;
  /** Where it begins without a cursor: a value of {@link Start}. */
  readonly start: number;
  /** It inflates compressed bodies. */
  readonly deflate: boolean;
  /** It wants checksums on what it is sent, and sends them. */
  readonly checksum: boolean;
}

const TEXT = new TextDecoder();

/** What a client wishes beside its token. */
export type AuthWishes = Partial<Omit<AuthRequest, 'version' | 'token'>>;

const STARTS: Readonly<Record<string, number>> = { oldest: Start.Oldest, newest: Start.Newest };

/**
 * Reads the body of 7. Version 2 is asked for by `"ver":2` in it: in goim's JSON token beside its fields, in JSON with the
 * token in `token`, or among the claims of a JSON Web Token, which nobody has verified here. Whatever else it is, is a
 * token of version 1, also when it is no good one. Throws HalleyError `bad_token` where a wish has a wrong type.
 */
export function readAuth(body: Uint8Array): AuthRequest {
  const json = TEXT.decode(body);
  const asked = mayAsk(json) ? objectOf(json) : {};
  if (asked?.ver === VERSION_2) {
    const token = typeof asked.token === 'string' ? new TextEncoder().encode(asked.token) : body;
    return wishes(asked, token);
  }
  const claims = asked ? undefined : claimsOf(json);
  if (claims?.ver === VERSION_2) return wishes({}, body);
  return { ...wishes({}, body), version: 1 };
}

/**
 * The body of 7 that asks for version 2. The fields go into a JSON token, untouched otherwise, so that a server without
 * version 2 reads it as it always did; any other token is wrapped.
 */
export function writeAuth(token: string, { cursor, start, deflate, checksum }: AuthWishes = {}): Uint8Array {
  const name = Object.keys(STARTS).find((key) => STARTS[key] === start);
  const fields = JSON.stringify({
    ver: VERSION_2,
    cursor: cursor && { epoch: cursor.epoch, position: cursor.position },
    start: name,
    deflate: deflate || undefined,
    checksum: checksum || undefined,
    token: objectOf(token) ? undefined : token,
  });
  if (!objectOf(token)) return new TextEncoder().encode(fields);
  const rest = token.trimStart().slice(1).trimStart();
  return new TextEncoder().encode(`${fields.slice(0, -1)}${rest.startsWith('}') ? '' : ','}${rest}`);
}

function wishes(asked: Readonly<Record<string, unknown>>, token: Uint8Array): AuthRequest {
  const { cursor, start, deflate, checksum } = asked;
  if (cursor !== undefined && cursor !== null && !isCursor(cursor)) throw wrong('cursor');
  if (start !== undefined && (typeof start !== 'string' || !Object.hasOwn(STARTS, start)))
    throw wrong('start');
  if (deflate !== undefined && typeof deflate !== 'boolean') throw wrong('deflate');
  if (checksum !== undefined && typeof checksum !== 'boolean') throw wrong('checksum');
  return {
    version: 2,
    token,
    cursor: cursor ? { epoch: cursor.epoch, position: cursor.position } : undefined,
    start: start === undefined ? Start.Unspecified : (STARTS[start] as number),
    deflate: deflate ?? false,
    checksum: checksum ?? false,
  };
}

/** False of what is goim's JSON token and nothing else: most of what comes is not parsed for that. */
function mayAsk(json: string): boolean {
  return !json.startsWith('{') || json.includes('"ver"') || json.includes('\\');
}

function isCursor(value: unknown): value is { readonly epoch: string; readonly position: number } {
  if (typeof value !== 'object' || value === null) return false;
  const { epoch, position } = value as Readonly<Record<string, unknown>>;
  return typeof epoch === 'string' && Number.isSafeInteger(position) && (position as number) >= -1;
}

function wrong(field: string): HalleyError {
  return new HalleyError('bad_token', `The auth's ${field} is not what docs/protocol/ver2.md says.`);
}

/** A JSON object, or undefined for anything else. */
function objectOf(json: string): Readonly<Record<string, unknown>> | undefined {
  if (!json.trimStart().startsWith('{')) return undefined;
  try {
    return JSON.parse(json) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The claims of a JSON Web Token, unverified. */
function claimsOf(token: string): Readonly<Record<string, unknown>> | undefined {
  const parts = token.split('.');
  if (parts.length !== 3) return undefined;
  try {
    return objectOf(atob((parts[1] as string).replaceAll('-', '+').replaceAll('_', '/')));
  } catch {
    return undefined;
  }
}
