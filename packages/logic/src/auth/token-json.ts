import { HalleyError } from '@halley/protocol/error';
import type { UserId } from '@halley/protocol/ids';
import { LosslessNumber, parse } from 'lossless-json';

import { parseInt32, parseInt64 } from '../int64.js';

/** The fields of goim's token. */
export interface TokenFields {
  readonly mid: UserId;
  readonly key: string;
  readonly roomId: string;
  readonly platform: string;
  readonly accepts: readonly number[];
}

/** A key that stood several times in one object; every value counts, the last one wins. */
class Repeated {
  constructor(readonly values: readonly unknown[]) {}
}

/**
 * Reads goim's token as Go's encoding/json reads it into goim's struct, since that is what goim's callers write for:
 * - `mid` is an exact int64; `1.0`, `1e3` and what is out of range are no integers.
 * - Keys match whatever their case. Of a repeated key the last value wins, and each must have the right type.
 * - `null`, as the token or as a field, is the zero value. Unknown fields are ignored.
 * - Invalid UTF-8 and lone surrogates become U+FFFD.
 *
 * Throws `bad_token` with what is wrong, without quoting the token.
 */
export function parseTokenJson(token: Uint8Array): TokenFields {
  const fields = {
    mid: '0' as UserId,
    key: '',
    roomId: '',
    platform: '',
    accepts: [] as readonly number[],
  };
  const json = parseJson(token);
  if (json === null) return fields;
  if (!isPlainObject(json)) throw new HalleyError('bad_token', 'the token is not a JSON object');
  for (const [key, value] of Object.entries(json)) {
    for (const one of value instanceof Repeated ? value.values : [value]) {
      switch (foldCase(key)) {
        case 'mid':
          if (one !== null) fields.mid = int64(one);
          break;
        case 'key':
          if (one !== null) fields.key = text('key', one);
          break;
        case 'room_id':
          if (one !== null) fields.roomId = text('room_id', one);
          break;
        case 'platform':
          if (one !== null) fields.platform = text('platform', one);
          break;
        case 'accepts':
          fields.accepts = one === null ? [] : int32List(one);
          break;
        default:
      }
    }
  }
  return fields;
}

/** JSON with every number as its literal, and every value of a repeated key. Throws `bad_token`. */
export function parseJson(bytes: Uint8Array): unknown {
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  try {
    return parse(source, null, {
      onDuplicateKey: ({ oldValue, newValue }) =>
        new Repeated([...(oldValue instanceof Repeated ? oldValue.values : [oldValue]), newValue]),
    });
  } catch {
    // The parser's message quotes what it read: it is neither sent nor logged.
    throw new HalleyError('bad_token', 'the token is not valid JSON');
  }
}

/** The last value of a key, which may have been repeated. */
export function lastValue(value: unknown): unknown {
  return value instanceof Repeated ? value.values.at(-1) : value;
}

/** Whether a parsed value is a JSON object. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof LosslessNumber)
  );
}

/** Lower case as Go's encoding/json folds field names: ASCII, and the two letters that fold into it. */
function foldCase(key: string): string {
  return key
    .replaceAll('\u017f', 's')
    .replaceAll('\u212a', 'k')
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

function int64(value: unknown): UserId {
  const exact = value instanceof LosslessNumber ? parseInt64(value.value) : undefined;
  if (exact === undefined) throw new HalleyError('bad_token', 'mid: not a 64-bit integer');
  return exact as UserId;
}

function text(field: string, value: unknown): string {
  if (typeof value !== 'string') throw new HalleyError('bad_token', `${field}: not a string`);
  return wellFormed(value);
}

/** The list of accepted operations. Throws `bad_token`. */
export function int32List(value: unknown): readonly number[] {
  if (!Array.isArray(value)) throw new HalleyError('bad_token', 'accepts: not a list');
  return value.map((item: unknown, index) => {
    if (item === null) return 0;
    const number = item instanceof LosslessNumber ? parseInt32(item.value) : undefined;
    if (number === undefined) throw new HalleyError('bad_token', `accepts[${index}]: not a 32-bit integer`);
    return number;
  });
}

/** Lone surrogates as U+FFFD. */
function wellFormed(value: string): string {
  return Buffer.from(value, 'utf8').toString('utf8');
}
