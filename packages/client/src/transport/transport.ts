/** What a transport tells. Never called from within {@link OpenTransport}. */
export interface TransportEvents {
  opened(): void;
  /** Bytes of the peer: any piece of the stream of frames. They are not changed afterwards. */
  received(bytes: Uint8Array): void;
  /** Once, last, for whatever reason, also after `close`. `code` where the transport has close codes. */
  closed(code: number | undefined, text: string): void;
}

/** One connection that carries bytes both ways, in order. */
export interface Transport {
  /** Whole frames, the one with the token first. Not called ahead of `opened`. The bytes are not changed afterwards. */
  send(bytes: Uint8Array): void;
  /** Ends it; what was sent before still goes out. */
  close(): void;
}

/**
 * How bytes are carried: on TCP (`tcp://`, `tls://`), or on the port of WebSocket (`ws://`, `wss://`, `http://`, `https://`) by
 * WebSocket, by server-sent events and POST, or by long polling and POST.
 */
export type TransportName = 'tcp' | 'websocket' | 'sse' | 'poll';

/** Begins to connect. Throws when the address is none for it. `name`: by which one, where the address leaves a choice. */
export type OpenTransport = (address: string, events: TransportEvents, name?: TransportName) => Transport;

/** Whether the address is one for the transport. */
export function fits(name: TransportName, address: string): boolean {
  return (name === 'tcp') === address.startsWith('t');
}
