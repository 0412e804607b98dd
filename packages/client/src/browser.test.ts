import { afterEach, expect, test } from '@jest/globals';

import { createClient } from './browser.js';
import { settled } from './testing/fake-clock.js';
import { noContent, ScriptedFetch } from './testing/scripted-fetch.js';

const listeners = new Map<string, () => void>();
const script = new ScriptedFetch();
const opened: string[] = [];
const { fetch: own } = globalThis;

/** A WebSocket that no proxy lets through. */
class Refused {
  onclose: (event: { readonly code: number; readonly reason: string }) => void = () => undefined;

  constructor(address: string) {
    opened.push(address);
    queueMicrotask(() => this.onclose({ code: 1006, reason: '' }));
  }

  close(): void {
    // It is.
  }
}

afterEach(() => {
  globalThis.fetch = own;
});

test('it does not wait when the network is back, or when the page is looked at; and loads what it needs for HTTP', async () => {
  Object.assign(globalThis, {
    WebSocket: Refused,
    fetch: script.fetch,
    addEventListener: (name: string, listener: () => void) => listeners.set(name, listener),
  });
  // Nothing comes by waiting.
  const backoff = { baseMs: 3_600_000, maxMs: 3_600_000 };
  const client = createClient({ addresses: 'wss://a:1/sub', token: '{"mid":7}', backoff });
  const failed = client.connect().catch((error: unknown) => error);
  await settled();
  expect(client.state.name).toBe('waiting');
  listeners.get('online')?.();
  await settled();
  expect(opened).toEqual(['wss://a:1/sub', 'wss://a:1/sub']);
  listeners.get('visibilitychange')?.();
  // Code is loaded.
  while (script.requests.length === 0) await settled();
  expect(script.paths()).toEqual(['/sse']);
  client.close();
  await settled();
  await script.waiting('/session').answer(noContent());
  expect(await failed).toMatchObject({ code: 'closed' });
});
