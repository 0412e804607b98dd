import { Client } from './client.js';
import { systemClock } from './clock.js';
import type { ClientOptions } from './options.js';
import { webSocketTransport, type WebSocketClass } from './transport/websocket.js';

export * from './exports.js';
export { localStorageStore } from './stores/local-storage.js';

interface Window {
  readonly WebSocket: WebSocketClass;
  addEventListener?(name: 'online', listener: () => void): void;
}

/** A client on WebSocket. In browsers it connects at once when the network is back. */
export function createClient(options: ClientOptions): Client {
  const window = globalThis as unknown as Window;
  const client = new Client(options, {
    clock: systemClock,
    openTransport: webSocketTransport(window.WebSocket),
  });
  window.addEventListener?.('online', () => client.retryNow());
  return client;
}
