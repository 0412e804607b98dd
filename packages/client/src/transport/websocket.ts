import type { OpenTransport } from './transport.js';

/** What is used of a WebSocket: the browsers' class has it, Node's own from 22 on, and that of `ws`. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

export type WebSocketClass = new (address: string) => WebSocketLike;

/**
 * Transports on WebSocket: `ws://host:port` and `wss://host:port`, or the same with `http` and `https`; the path is `/sub` where
 * none is given.
 */
export function webSocketTransport(WebSocket: WebSocketClass): OpenTransport {
  return (address, events) => {
    const url = address.replace(/^http/, 'ws');
    const socket = new WebSocket(/^\w+:\/\/[^/]+$/.test(url) ? `${url}/sub` : url);
    socket.binaryType = 'arraybuffer';
    socket.onopen = () => events.opened();
    socket.onmessage = ({ data }: { readonly data: unknown }) => {
      if (data instanceof ArrayBuffer) events.received(new Uint8Array(data));
    };
    // A close always follows.
    socket.onerror = () => undefined;
    socket.onclose = ({ code, reason }: { readonly code: number; readonly reason: string }) =>
      events.closed(code, reason);
    return {
      send: (bytes) => socket.send(bytes as Uint8Array<ArrayBuffer>),
      close: () => socket.close(),
    };
  };
}
