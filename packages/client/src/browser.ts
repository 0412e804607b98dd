import { Client } from './client.js';
import { systemClock as clock } from './clock.js';
import type * as Fallback from './fallback.js';
import type { ClientOptions } from './options.js';
import type { Fetch } from './transport/http/request.js';
import { lazyTransport } from './transport/lazy.js';
import { webSocketTransport, type WebSocketClass } from './transport/websocket.js';

export * from './exports.js';
export { localStorageStore } from './stores/local-storage.js';

interface Window {
  readonly WebSocket: WebSocketClass;
  readonly fetch: Fetch;
  addEventListener?(name: 'online' | 'visibilitychange', listener: () => void): void;
}

/** What is needed only where WebSocket does not get through. */
const fallback = (): Promise<typeof Fallback> => import('./fallback.js');

/**
 * A client on WebSocket, and on HTTP where that does not get through. In browsers it connects at once when the network is back,
 * and sees whether it is still connected when the page is looked at again.
 */
export function createClient(options: ClientOptions): Client {
  const window = globalThis as unknown as Window;
  const webSocket = webSocketTransport(window.WebSocket);
  const http = lazyTransport(async () => (await fallback()).httpTransport(clock, window.fetch.bind(window)));
  const client = new Client(options, {
    clock,
    openTransport: (address, events, name) =>
      (name === 'websocket' ? webSocket : http)(address, events, name),
    climb: (core) => void fallback().then(({ climb }) => climb(core)),
  });
  for (const name of ['online', 'visibilitychange'] as const) {
    window.addEventListener?.(name, () => client.retryNow());
  }
  return client;
}
