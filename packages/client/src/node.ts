import { Client } from './client.js';
import { systemClock } from './clock.js';
import type { ClientOptions } from './options.js';
import { tcpTransport, type TcpOptions } from './transport/tcp.js';
import { webSocketTransport, type WebSocketClass } from './transport/websocket.js';

export * from './exports.js';
export { fileStore } from './stores/file.js';

/** What only Node has. */
export interface NodeClientOptions extends ClientOptions, TcpOptions {
  /** For `ws://` and `wss://`: Node's own from 22 on, else the class of the package `ws`. */
  readonly WebSocket?: WebSocketClass;
}

/** A client on TCP, TLS or WebSocket, whichever an address asks for. */
export function createClient(options: NodeClientOptions): Client {
  const { WebSocket = (globalThis as unknown as { WebSocket?: WebSocketClass }).WebSocket } = options;
  const tcp = tcpTransport(options);
  const webSocket = WebSocket && webSocketTransport(WebSocket);
  return new Client(options, {
    clock: systemClock,
    openTransport: (address, events) => {
      if (!/^wss?:/.test(address)) return tcp(address, events);
      if (!webSocket) throw new TypeError('There is no WebSocket here: give the class of the package ws.');
      return webSocket(address, events);
    },
  });
}
