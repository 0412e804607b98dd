import { expect, test } from '@jest/globals';

import { clientAddress } from './client-address.js';

test('without an address it is the comet of this machine', () => {
  expect(clientAddress(undefined, undefined)).toMatchObject({
    transport: 'tcp',
    host: '127.0.0.1',
    port: 3101,
    tls: false,
  });
  expect(clientAddress(undefined, 'websocket')).toMatchObject({ url: 'ws://127.0.0.1:3102/sub' });
});

test('host:port goes with the transport, a scheme decides it', () => {
  expect(clientAddress('h:1', 'websocket')).toMatchObject({ url: 'ws://h:1/sub' });
  expect(clientAddress('wss://chat.example', undefined)).toMatchObject({ url: 'wss://chat.example/sub' });
  expect(clientAddress('ws://h:1/other', undefined)).toMatchObject({ url: 'ws://h:1/other' });
  expect(clientAddress('tls://[::1]:3105', undefined)).toMatchObject({ host: '::1', port: 3105, tls: true });
});

test.each([
  ['h', undefined],
  ['http://h:1', undefined],
  ['tcp://h:1', 'websocket'],
  ['ws://h:1', 'tcp'],
  ['tcp://', undefined],
] as const)('%s (%s) is no address for it', (text, transport) => {
  expect(() => clientAddress(text, transport)).toThrow('is no address');
});
