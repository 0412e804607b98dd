import { expect, test } from '@jest/globals';

import { settled } from '../testing/fake-clock.js';
import { lazyTransport } from './lazy.js';
import type { OpenTransport } from './transport.js';

const told: string[] = [];
const events = {
  opened: () => void told.push('opened'),
  received: () => undefined,
  closed: (_code: number | undefined, text: string) => void told.push(`closed ${text}`),
};
const loaded: OpenTransport = (address, given, name) => {
  told.push(`${address} ${name}`);
  queueMicrotask(() => given.opened());
  return {
    send: (bytes) => void told.push(`sent ${bytes.length}`),
    close: () => given.closed(undefined, 'by us'),
  };
};

test('is opened when its code is there', async () => {
  told.length = 0;
  const transport = lazyTransport(() => Promise.resolve(loaded))('ws://a:1', events, 'poll');
  await settled();
  transport.send(new Uint8Array(3));
  transport.close();
  expect(told).toEqual(['ws://a:1 poll', 'opened', 'sent 3', 'closed by us']);
});

test('code that can not be loaded is a connection that can not be made', async () => {
  told.length = 0;
  lazyTransport(() => Promise.reject(new TypeError('no such file')))('ws://a:1', events, 'sse').close();
  await settled();
  expect(told).toEqual(['closed TypeError: no such file']);
});

test('closed ahead of that it is not opened, and is told as closed', async () => {
  told.length = 0;
  lazyTransport(() => Promise.resolve(loaded))('ws://a:1', events, 'sse').close();
  await settled();
  expect(told).toEqual(['closed ']);
});
