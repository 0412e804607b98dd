import { beforeAll, expect, test } from '@jest/globals';

import { createClient } from './node.js';
import { settled } from './testing/fake-clock.js';
import { noContent, ScriptedFetch } from './testing/scripted-fetch.js';

const TOKEN = '{"mid":7}';

beforeAll(() => {
  // Node has one of its own from 22 on.
  Object.assign(globalThis, { WebSocket: undefined });
});

test('without a WebSocket it begins with HTTP, by the fetch that is given', async () => {
  const script = new ScriptedFetch();
  const { fetch } = script;
  const client = createClient({ addresses: 'wss://a:1', token: TOKEN, fetch });
  client.connect().catch(() => undefined);
  await settled();
  expect(script.paths()).toEqual(['/sse']);
  client.close();
  await settled();
  await script.waiting('/session').answer(noContent());
});

test('WebSocket that is asked for and is not there is told', async () => {
  const client = createClient({ addresses: 'ws://a:1', token: TOKEN, transports: ['websocket'] });
  client.connect().catch(() => undefined);
  await settled();
  expect(client.state).toMatchObject({ name: 'waiting', reason: { message: /package ws/ } });
  client.close();
});
