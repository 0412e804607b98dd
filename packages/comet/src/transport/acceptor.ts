import type { Socket } from 'node:net';

import type { Clock } from '@halley/service/clock';

import type { CometMetrics } from '../comet-metrics.js';
import type { Deadlines, Expiring } from '../session/deadlines.js';
import { normalizeAddress, type TrustedProxies } from './client-address.js';
import type { ConnectionCounter } from './limits.js';
import { parseProxyHeader } from './proxy-protocol.js';

/** Who is at the other end of an accepted socket. */
export interface Client {
  /** As the PROXY header of a trusted proxy says, else the peer's. */
  readonly address: string;
  /** When its socket was accepted, or the last request on it was served; monotonic milliseconds. */
  readonly acceptedAtMs: number;
}

export interface AcceptorDeps {
  readonly counter: ConnectionCounter;
  readonly proxies: TrustedProxies;
  readonly deadlines: Deadlines;
  readonly clock: Clock;
  readonly metrics: CometMetrics;
  readonly handshakeTimeoutMs: number;
}

/**
 * What every accepted socket goes through, whatever is spoken on it: the node's limit, and the PROXY header when it comes
 * from a trusted proxy. Remembers the client by both ends of its connection, because TLS wraps the socket in another.
 */
export class Acceptor {
  readonly #clients = new Map<string, { address: string; acceptedAtMs: number }>();

  constructor(private readonly deps: AcceptorDeps) {}

  /**
   * Calls `handOver` with the socket as if it were fresh, once its client is known; or destroys it. A socket that is a
   * connection is counted as one; what comes over HTTP is counted by who serves it.
   */
  accept(socket: Socket, isConnection: boolean, handOver: (socket: Socket) => void): void {
    const { counter, proxies, clock, metrics } = this.deps;
    const acceptedAtMs = clock.monotonicMs();
    const peer = normalizeAddress(socket.remoteAddress);
    if (peer === '') {
      socket.destroy();
      return;
    }
    const counted = counter.tryAccept();
    if (!counted || (isConnection && !counter.tryOpen())) {
      if (counted) counter.socketClosed();
      metrics.refused('node_full');
      socket.destroy();
      return;
    }
    const name = nameOf(socket);
    const client = { address: peer, acceptedAtMs };
    socket.once('close', () => {
      counter.socketClosed();
      if (isConnection) counter.closed();
      if (this.#clients.get(name) === client) this.#clients.delete(name);
    });
    const known = (address: string | undefined): void => {
      if (address !== undefined) client.address = address;
      this.#clients.set(name, client);
      handOver(socket);
    };
    if (proxies.trusts(peer)) this.#readProxyHeader(socket, acceptedAtMs, known);
    else known(undefined);
  }

  /** The client of a socket that was handed over, or of the TLS socket around it. */
  clientOf(socket: Ends): Client | undefined {
    return this.#clients.get(nameOf(socket));
  }

  /** A request was served on this socket: what comes next on it begins now. */
  served(socket: Ends): void {
    const client = this.#clients.get(nameOf(socket));
    if (client) client.acceptedAtMs = this.deps.clock.monotonicMs();
  }

  #readProxyHeader(socket: Socket, acceptedAtMs: number, known: (address: string | undefined) => void): void {
    const { deadlines, metrics } = this.deps;
    let start: Buffer = Buffer.alloc(0);
    const deadline = new HeaderDeadline(socket);
    deadlines.set(deadline, acceptedAtMs + this.deps.handshakeTimeoutMs);
    const ignore = (): void => undefined;
    const done = (): void => {
      deadlines.clear(deadline);
      socket.removeListener('readable', onReadable);
      socket.removeListener('close', done);
    };
    const onReadable = (): void => {
      for (let chunk = read(socket); chunk; chunk = read(socket)) start = Buffer.concat([start, chunk]);
      const header = parseProxyHeader(start);
      if (header.kind === 'more') return;
      done();
      if (header.kind === 'bad') {
        metrics.refused('proxy_header');
        socket.destroy();
        return;
      }
      const rest = header.kind === 'header' ? start.subarray(header.bytes) : start;
      if (rest.length > 0) socket.unshift(rest);
      // The socket flows again only in the next tick after its last 'readable' listener went.
      setImmediate(() => {
        socket.removeListener('error', ignore);
        if (!socket.destroyed) known(header.kind === 'header' ? header.address : undefined);
      });
    };
    socket.on('error', ignore);
    socket.on('close', done);
    socket.on('readable', onReadable);
  }
}

class HeaderDeadline implements Expiring {
  deadlineMs = 0;
  wheelSlot = -1;
  wheelNext: Expiring | undefined = undefined;
  wheelPrevious: Expiring | undefined = undefined;

  constructor(private readonly socket: Socket) {}

  onDeadline(): void {
    this.socket.destroy();
  }
}

type Ends = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localPort'>;

/** A client may come from one port of its own to several of ours. */
function nameOf({ remoteAddress, remotePort, localPort }: Ends): string {
  return `${remoteAddress}/${remotePort}/${localPort}`;
}

function read(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}
