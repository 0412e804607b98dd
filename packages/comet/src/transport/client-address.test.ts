import { describe, expect, test } from '@jest/globals';

import { TrustedProxies } from './client-address.js';

const proxies = new TrustedProxies(['10.0.0.0/8', '192.0.2.1', '2001:db8::/32']);

describe('trusted proxies', () => {
  test.each([
    ['10.1.2.3', true],
    ['11.1.2.3', false],
    ['192.0.2.1', true],
    ['192.0.2.2', false],
    ['2001:db8::5', true],
    ['2001:db9::5', false],
    ['nonsense', false],
  ])('%s: %s', (address, trusted) => {
    expect(proxies.trusts(address)).toBe(trusted);
  });

  test.each([
    ['the rightmost that is no proxy', '10.0.0.1', '1.1.1.1, 203.0.113.9, 10.0.0.2', '203.0.113.9'],
    ['ports and brackets', '10.0.0.1', '203.0.113.9:443', '203.0.113.9'],
    ['IPv6', '10.0.0.1', '[2001:db9::1]:443', '2001:db9::1'],
    ['only proxies', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['nothing left of what is no address', '10.0.0.1', '203.0.113.9, unknown, 10.0.0.2', '10.0.0.2'],
    ['nothing at all', '10.0.0.1', undefined, '10.0.0.1'],
    ['an untrusted peer says', '203.0.113.1', '1.1.1.1', '203.0.113.1'],
  ])('X-Forwarded-For, %s', (_name, peer, header, client) => {
    expect(proxies.forwardedFor(peer, header)).toBe(client);
  });

  test.each(['10.0.0.0/33', '10.0.0', 'host', '10.0.0.0/8/8', '::/129', '10.0.0.0/x', '10.0.0.0/'])(
    '%s is no range',
    (range) => {
      expect(() => new TrustedProxies([range])).toThrow(`"${range}" is neither`);
    },
  );
});
