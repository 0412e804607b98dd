import { createHash } from 'node:crypto';

import { describe, expect, test } from '@jest/globals';

import { ApiKeys } from './api-key.js';

const refused = (code: string) => expect.objectContaining({ code });

describe('API keys', () => {
  const keys = new ApiKeys(
    [
      { name: 'shop', key: 'plain', scopes: ['push'] },
      { name: 'ops', sha256: createHash('sha256').update('hashed').digest('hex'), scopes: [] },
    ],
    true,
  );

  test('a key is taken as a bearer token or as x-api-key, plain or by its digest', () => {
    expect(keys.check({ authorization: 'Bearer plain' }, 'push').name).toBe('shop');
    expect(keys.check({ authorization: 'bearer  hashed' }, 'nodes').name).toBe('ops');
    expect(keys.check({ apiKey: 'plain' }, 'push').name).toBe('shop');
  });

  test.each([
    {},
    { authorization: 'Basic plain' },
    { authorization: 'Bearer ' },
    { apiKey: '' },
    { apiKey: 'other' },
  ])('none or an unknown one is refused: %j', (credentials) =>
    expect(() => keys.check(credentials, 'push')).toThrow(refused('unauthenticated')),
  );

  test('a key without the scope is refused by name, without telling the key', () => {
    expect(() => keys.check({ apiKey: 'plain' }, 'nodes')).toThrow(
      'the API key "shop" lacks the scope nodes',
    );
  });

  test('without any configured, everybody may call unless keys are required', () => {
    expect(new ApiKeys([], false).check({}, 'push').name).toBe('');
    expect(() => new ApiKeys([], true).check({ apiKey: 'x' }, 'push')).toThrow(refused('unauthenticated'));
  });

  test('an entry without a key or with a bad digest is a bad configuration', () => {
    expect(() => new ApiKeys([{ name: 'a', scopes: [] }], true)).toThrow('api.keys[0]');
    expect(() => new ApiKeys([{ name: 'a', sha256: 'zz', scopes: [] }], true)).toThrow('api.keys[0].sha256');
  });
});
