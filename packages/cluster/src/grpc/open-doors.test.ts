import { describe, expect, test } from '@jest/globals';

import { refuseOpenDoors, type Doors } from './open-doors.js';

const SAFE: Doors = {
  node: { bind: '0.0.0.0' },
  auth: { mode: 'jwt' },
  cluster: { token: 'secret', tlsClientCaFile: '' },
  insecure: false,
};

describe('a node that others can reach', () => {
  test('starts with tokens verified and the tiers known to each other', () => {
    expect(() => refuseOpenDoors(SAFE)).not.toThrow();
    expect(() =>
      refuseOpenDoors({ ...SAFE, cluster: { token: '', tlsClientCaFile: 'ca.pem' } }),
    ).not.toThrow();
  });

  test.each([
    ['any client', { auth: { mode: 'open' } }, /^auth\.mode open .* set auth\.mode to jwt, .*--insecure$/],
    [
      'any tier',
      { cluster: { token: '', tlsClientCaFile: '' } },
      /own gRPC .* set cluster\.token .*--insecure$/,
    ],
  ])('refuses to start when it believes %s', (_, open, message) => {
    expect(() => refuseOpenDoors({ ...SAFE, ...open })).toThrow(message);
    expect(() => refuseOpenDoors({ ...SAFE, ...open, insecure: true })).not.toThrow();
    expect(() => refuseOpenDoors({ ...SAFE, ...open, node: { bind: '127.0.0.1' } })).not.toThrow();
  });
});
