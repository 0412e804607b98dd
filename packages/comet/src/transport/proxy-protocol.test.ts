import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';

import { parseProxyHeader } from './proxy-protocol.js';

const V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n');
const v2 = (command: number, family: number, payload: number[]): Buffer =>
  Buffer.concat([V2, Buffer.from([0x20 | command, (family << 4) | 1, 0, payload.length, ...payload])]);

describe('the PROXY header', () => {
  test.each([
    ['TCP4', 'PROXY TCP4 203.0.113.7 10.0.0.1 5555 3101\r\n', '203.0.113.7'],
    ['TCP6', 'PROXY TCP6 2001:db8::7 2001:db8::1 5555 3101\r\n', '2001:db8::7'],
    ['UNKNOWN', 'PROXY UNKNOWN\r\n', undefined],
    ['UNKNOWN with more', 'PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n', undefined],
  ])('version 1, %s', (_name, text, address) => {
    const start = Buffer.from(`${text}rest`);
    expect(parseProxyHeader(start)).toEqual({ kind: 'header', bytes: text.length, address });
  });

  test.each([
    ['IPv4', v2(1, 1, [203, 0, 113, 7, 10, 0, 0, 1, 1, 2, 3, 4]), '203.0.113.7'],
    ['IPv4 with extensions', v2(1, 1, [203, 0, 113, 7, 10, 0, 0, 1, 1, 2, 3, 4, 4, 0, 1, 0]), '203.0.113.7'],
    [
      'IPv6',
      v2(1, 2, [0x20, 1, 0xd, 0xb8, ...Array<number>(11).fill(0), 7, ...Array<number>(20).fill(0)]),
      '2001:db8:0:0:0:0:0:7',
    ],
    [
      'IPv4 in IPv6',
      v2(1, 2, [...Array<number>(10).fill(0), 255, 255, 203, 0, 113, 7, ...Array<number>(20).fill(0)]),
      '203.0.113.7',
    ],
    ['LOCAL', v2(0, 0, []), undefined],
    ['a Unix socket', v2(1, 3, Array<number>(216).fill(0).slice(0, 200)), undefined],
  ])('version 2, %s', (_name, header, address) => {
    expect(parseProxyHeader(Buffer.concat([header, Buffer.from('rest')]))).toEqual({
      kind: 'header',
      bytes: header.length,
      address,
    });
    for (let cut = 0; cut < header.length; cut += 1) {
      expect(parseProxyHeader(header.subarray(0, cut)).kind).toBe('more');
    }
  });

  test.each([
    ['an address of the other family', 'PROXY TCP4 2001:db8::7 10.0.0.1 1 2\r\n'],
    ['a bad address', 'PROXY TCP4 203.0.113.700 10.0.0.1 1 2\r\n'],
    ['a bad port', 'PROXY TCP4 203.0.113.7 10.0.0.1 1 65536\r\n'],
    ['too little', 'PROXY TCP4 203.0.113.7\r\n'],
    ['another protocol', 'PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n'],
    ['no end within 107 bytes', `PROXY TCP4 ${'1'.repeat(200)}`],
    ['another version', Buffer.concat([V2, Buffer.from([0x11, 0x11, 0, 0])])],
    ['a command that is none', Buffer.concat([V2, Buffer.from([0x22, 0x11, 0, 0])])],
    ['a payload too short for its family', v2(1, 1, [1, 2, 3])],
    ['a payload too long', Buffer.concat([V2, Buffer.from([0x21, 0x11, 0xff, 0xff])])],
  ])('%s is bad', (_name, text) => {
    expect(parseProxyHeader(Buffer.from(text)).kind).toBe('bad');
  });

  test.each(['GET /sub HTTP/1.1\r\n', 'POST', '\x16\x03\x01', '\0\0\0\x10\0\x10', 'PROXX'])(
    '%j is none',
    (text) => {
      expect(parseProxyHeader(Buffer.from(text)).kind).toBe('none');
    },
  );

  test('whatever comes, it answers and takes no more than there is', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(Buffer.alloc(0), Buffer.from('PROXY '), V2, Buffer.from('PROXY TCP4 ')),
        fc.uint8Array({ maxLength: 300 }),
        (start, rest) => {
          const all = Buffer.concat([start, rest]);
          const header = parseProxyHeader(all);
          if (header.kind === 'header') expect(header.bytes).toBeLessThanOrEqual(all.length);
        },
      ),
    );
  });
});
