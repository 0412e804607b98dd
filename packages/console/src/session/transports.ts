/** What carries the connection's frames. */
export type Transport = 'websocket' | 'sse' | 'poll';

/** `auto` is the best one that gets through; another one is used alone. */
export type TransportWish = 'auto' | Transport;

/** In the order in which they are tried. */
export const TRANSPORTS: readonly Transport[] = ['websocket', 'sse', 'poll'];

export const TRANSPORT_TITLES: Readonly<Record<Transport, string>> = {
  websocket: 'WebSocket',
  sse: 'Server-sent events',
  poll: 'Long polling',
};

/** The SDK's, which has others in Node. */
export function transportOf(name: string | undefined): Transport {
  return TRANSPORTS.find((transport) => transport === name) ?? 'websocket';
}

/** A wish as it stands in an address or in a storage; anything else is `auto`. */
export function wishOf(text: string | null | undefined): TransportWish {
  return TRANSPORTS.find((transport) => transport === text) ?? 'auto';
}
