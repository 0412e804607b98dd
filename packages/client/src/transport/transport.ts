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
  /** Not called ahead of `opened`. The bytes are not changed afterwards. */
  send(bytes: Uint8Array): void;
  /** Ends it; what was sent before still goes out. */
  close(): void;
}

/** Begins to connect. Throws when the address is none for it. */
export type OpenTransport = (address: string, events: TransportEvents) => Transport;
