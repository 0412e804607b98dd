import type { OpenTransport, Transport } from './transport.js';

/** Transports whose code is loaded when the first one is opened. What can't be loaded is told as closed. */
export function lazyTransport(load: () => Promise<OpenTransport>): OpenTransport {
  return (address, events, name) => {
    let opened: Transport | undefined;
    let closed = false;
    load()
      .then((open) => {
        if (closed) events.closed(undefined, '');
        else opened = open(address, events, name);
      })
      .catch((error: unknown) => events.closed(undefined, String(error)));
    return {
      send: (bytes) => opened?.send(bytes),
      close: () => {
        closed = true;
        opened?.close();
      },
    };
  };
}
