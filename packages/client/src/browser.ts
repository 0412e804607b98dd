import { Client } from './client.js';
import { systemClock } from './clock.js';
import type { ClientOptions } from './options.js';
import { webSocketTransport, type WebSocketClass } from './transport/websocket.js';

export type { Client } from './client.js';
export { ClientError } from './client-error.js';
export { weightedNodes } from './connection/weighted-nodes.js';
export type { ConnectionState } from './connection/state.js';
export type { ClientEvents, Sent } from './events.js';
export type { HistoryQuery } from './history/history.js';
export type { ClientOptions } from './options.js';
export type { JoinedRoom } from './rooms/rooms.js';
export type { Outgoing } from './send/outgoing.js';
export { localStorageStore } from './stores/local-storage.js';
export { memoryStore } from './stores/memory.js';
export type { CursorStore } from './stores/store.js';
export type { StreamGap } from './streams/continue.js';
export type { StreamMessage } from './streams/message.js';

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
