import { Client } from './client.js';
import { systemClock as clock } from './clock.js';
import { climb, httpTransport } from './fallback.js';
import type { ClientOptions } from './options.js';
import type { Fetch } from './transport/http/request.js';
import { tcpTransport, type TcpOptions } from './transport/tcp.js';
import { webSocketTransport, type WebSocketClass } from './transport/websocket.js';

export * from './exports.js';
export { fileStore } from './stores/file.js';

/** What only Node has. */
export interface NodeClientOptions extends ClientOptions, TcpOptions {
  /** For the transport `websocket`: Node's own from 22 on, else the class of the package `ws`. Without it HTTP is used. */
  readonly WebSocket?: WebSocketClass;
  /** For the transports `sse` and `poll`, as with another agent or other certificates. Default: Node's. */
  readonly fetch?: Fetch;
}

/** A client on TCP or TLS, or on WebSocket, SSE or long polling, whichever an address asks for. */
export function createClient(options: NodeClientOptions): Client {
  const { WebSocket = (globalThis as unknown as { WebSocket?: WebSocketClass }).WebSocket } = options;
  const tcp = tcpTransport(options);
  const webSocket = WebSocket && webSocketTransport(WebSocket);
  const http = httpTransport(clock, options.fetch ?? fetch);
  const transports = webSocket ? {} : { transports: ['sse', 'poll'] as const };
  return new Client(
    { ...transports, ...options },
    {
      clock,
      climb,
      openTransport: (address, events, name) => {
        if (name === 'tcp') return tcp(address, events);
        if (name !== 'websocket') return http(address, events, name);
        if (!webSocket) throw new TypeError('There is no WebSocket here: give the class of the package ws.');
        return webSocket(address, events);
      },
    },
  );
}
