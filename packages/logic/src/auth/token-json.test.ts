import { describe, expect, test } from '@jest/globals';

import { parseTokenJson } from './token-json.js';

const read = (token: string | Uint8Array) =>
  parseTokenJson(typeof token === 'string' ? Buffer.from(token) : token);
const nothing = { mid: '0', key: '', roomId: '', platform: '', accepts: [] };

describe('goim token', () => {
  test('reads every field', () => {
    expect(
      read('{"mid":123,"key":"k","room_id":"live://1000","platform":"web","accepts":[1000,1001]}'),
    ).toEqual({ mid: '123', key: 'k', roomId: 'live://1000', platform: 'web', accepts: [1000, 1001] });
  });

  test.each([
    '{}',
    'null',
    ' \t\r\n{ } ',
    '{"mid":null,"key":null,"room_id":null,"platform":null,"accepts":null}',
  ])('%s is an anonymous token', (token) => expect(read(token)).toEqual(nothing));

  test.each([
    ['9223372036854775807', '9223372036854775807'],
    ['-9223372036854775808', '-9223372036854775808'],
    ['9007199254740993', '9007199254740993'],
    ['-5', '-5'],
    ['-0', '0'],
    ['0', '0'],
  ])('mid %s is exact', (literal, mid) => expect(read(`{"mid":${literal}}`).mid).toBe(mid));

  test.each(['1.0', '1e3', '9223372036854775808', '-9223372036854775809', '"1"', 'true', '[1]', '{}'])(
    'mid %s is refused',
    (literal) => expect(() => read(`{"mid":${literal}}`)).toThrow('mid: not a 64-bit integer'),
  );

  test.each([
    '',
    '[]',
    '1',
    '"x"',
    'true',
    '{',
    '{"mid":1}x',
    '{"mid":01}',
    "{'mid':1}",
    '{"mid":1,}',
    '{mid:1}',
    '\ufeff{}',
    '{"key":"\u0001"}',
    'NaN',
    '{"mid":+1}',
  ])('%j is no token', (token) =>
    expect(() => read(token)).toThrow(expect.objectContaining({ code: 'bad_token' })),
  );

  test.each([
    '{"key":1}',
    '{"room_id":{}}',
    '{"platform":[]}',
    '{"accepts":1}',
    '{"accepts":"AQI="}',
    '{"accepts":["1"]}',
    '{"accepts":[2147483648]}',
    '{"accepts":[1.5]}',
  ])('a wrong type is refused: %s', (token) =>
    expect(() => read(token)).toThrow(expect.objectContaining({ code: 'bad_token' })),
  );

  test('field names match in any case, also by the letters that fold into ASCII', () => {
    expect(read('{"MID":7,"Key":"a","ROOM_id":"r","Accept\u017f":[1],"\u212aey":"b"}')).toEqual({
      ...nothing,
      mid: '7',
      key: 'b',
      roomId: 'r',
      accepts: [1],
    });
  });

  test('of a repeated key the last value wins, null leaves a scalar, and each needs the right type', () => {
    expect(read('{"mid":1,"mid":2}').mid).toBe('2');
    expect(read('{"mid":1,"mid":2,"mid":3}').mid).toBe('3');
    expect(read('{"mid":1,"mid":null}').mid).toBe('1');
    expect(read('{"accepts":[1],"accepts":null}').accepts).toEqual([]);
    expect(() => read('{"mid":"x","mid":2}')).toThrow('mid');
  });

  test('unknown fields are ignored, also nested ones with repeated keys and __proto__', () => {
    expect(read('{"x":{"a":1,"a":{"b":[1]}},"__proto__":{"mid":5},"mid":3}').mid).toBe('3');
  });

  test('an empty room and a room without a scheme are valid', () => {
    expect(read('{"room_id":""}').roomId).toBe('');
    expect(read('{"room_id":"lobby"}').roomId).toBe('lobby');
  });

  test('a null in accepts is 0', () =>
    expect(read('{"accepts":[null,-2147483648]}').accepts).toEqual([0, -2147483648]));

  test('invalid UTF-8 and lone surrogates become U+FFFD', () => {
    expect(read(Buffer.from('7b226b6579223a2261ff62227d', 'hex')).key).toBe('a\ufffdb');
    expect(read('{"key":"\\ud800x"}').key).toBe('\ufffdx');
    expect(read('{"key":"\\ud83d\\ude00"}').key).toBe('😀');
  });

  test('an error never quotes the token', () => {
    expect.assertions(1);
    try {
      read('{"key":"secret');
    } catch (error) {
      expect(String(error)).not.toContain('secret');
    }
  });

  test('nesting deeper than the stack is a bad token, not a crash', () => {
    expect(() => read('['.repeat(200_000))).toThrow(expect.objectContaining({ code: 'bad_token' }));
  });
});
