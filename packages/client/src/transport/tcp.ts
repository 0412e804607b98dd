import net from 'node:net';
import tls from 'node:tls';

import type { OpenTransport } from './transport.js';

export interface TcpOptions {
  /** For `tls://` addresses: certificates and the like, as node:tls takes them. */
  readonly tls?: tls.ConnectionOptions;
}

const CLOSE_TIMEOUT_MS = 2_000;

/** Transports on TCP: `tcp://host:port` (3101 by default) and `tls://host:port` (3105). */
export function tcpTransport(options: TcpOptions = {}): OpenTransport {
  return (address, events) => {
    const url = new URL(address);
    const secure = url.protocol === 'tls:';
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const port = Number(url.port || (secure ? 3105 : 3101));
    const servername = net.isIP(host) === 0 ? { servername: host } : {};
    const socket = secure
      ? tls.connect({ ...servername, ...options.tls, host, port })
      : net.connect({ host, port });
    let fault = '';
    socket.setNoDelay(true);
    socket.once(secure ? 'secureConnect' : 'connect', () => events.opened());
    socket.on('data', (bytes) => events.received(bytes));
    socket.on('error', ({ message }) => {
      fault = message;
    });
    socket.once('close', () => events.closed(undefined, fault));
    return {
      send: (bytes) => void socket.write(bytes),
      close: () => {
        if (socket.connecting) return void socket.destroy();
        // What was sent goes out; a peer that does not take it is not waited for.
        socket.end(() => socket.destroy());
        setTimeout(() => socket.destroy(), CLOSE_TIMEOUT_MS).unref();
      },
    };
  };
}
