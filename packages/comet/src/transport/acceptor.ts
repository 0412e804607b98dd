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

/** Where sockets come in, and what becomes of them. */
export interface Door {
  /** Whether each socket is a client's connection, as it is not with HTTP. */
  readonly isConnection: boolean;
  /** Whether TLS wraps the socket in another, of which the client is asked. */
  readonly encrypted: boolean;
  /** Takes the socket as if it were fresh. */
  handOver(socket: Socket): void;
  /** The socket is closed. */
  onClosed(socket: Socket): void;
}

const kAccepted = Symbol('accepted');

/** A socket that knows its client, so that its listener is shared by all connections. */
interface AcceptedSocket extends Socket {
  [kAccepted]?: Accepted;
}

/** What is kept of a socket while it is open. */
class Accepted implements Client {
  /** Whether it is counted as a connection. */
  isConnection: boolean;

  constructor(
    readonly acceptor: Acceptor,
    readonly door: Door,
    public address: string,
    public acceptedAtMs: number,
  ) {
    this.isConnection = door.isConnection;
  }
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
 * from a trusted proxy. Each socket knows its client; where TLS wraps the socket in another, that one's client is found by
 * both ends of the connection.
 */
export class Acceptor {
  readonly #wrapped = new Map<string, Accepted>();

  constructor(private readonly deps: AcceptorDeps) {}

  /**
   * Hands the socket over once its client is known; or destroys it. A socket that is a connection is counted as one; what
   * comes over HTTP is counted by who serves it.
   */
  accept(socket: Socket, door: Door): void {
    const { counter, proxies, clock, metrics } = this.deps;
    const acceptedAtMs = clock.monotonicMs();
    const peer = normalizeAddress(socket.remoteAddress);
    if (peer === '') {
      turnAway(socket, door);
      return;
    }
    const counted = counter.tryAccept();
    if (!counted || (door.isConnection && !counter.tryOpen())) {
      if (counted) counter.socketClosed();
      metrics.refused('node_full');
      turnAway(socket, door);
      return;
    }
    const accepted = new Accepted(this, door, peer, acceptedAtMs);
    (socket as AcceptedSocket)[kAccepted] = accepted;
    socket.on('close', onClose);
    if (proxies.trusts(peer)) this.#readProxyHeader(socket, accepted);
    else this.#handOver(socket, accepted);
  }

  /** The client of a socket that was handed over, or of the TLS socket around it. */
  clientOf(socket: Socket): Client | undefined {
    return this.#of(socket);
  }

  /** A request was served on this socket: what comes next on it begins now. */
  served(socket: Socket): void {
    const accepted = this.#of(socket);
    if (accepted) accepted.acceptedAtMs = this.deps.clock.monotonicMs();
  }

  /** What came over HTTP on this socket is a connection from now on; false when there are too many. */
  tryOpen(socket: Socket): boolean {
    const accepted = this.#of(socket);
    if (!accepted || !this.deps.counter.tryOpen()) return false;
    accepted.isConnection = true;
    return true;
  }

  /** A socket's own report. */
  onClosed(socket: Socket, { door, isConnection }: Accepted): void {
    const { counter } = this.deps;
    counter.socketClosed();
    if (isConnection) counter.closed();
    door.onClosed(socket);
  }

  #of(socket: AcceptedSocket): Accepted | undefined {
    return socket[kAccepted] ?? this.#wrapped.get(nameOf(socket));
  }

  #handOver(socket: Socket, accepted: Accepted): void {
    if (accepted.door.encrypted) {
      const name = nameOf(socket);
      this.#wrapped.set(name, accepted);
      socket.on('close', () => {
        if (this.#wrapped.get(name) === accepted) this.#wrapped.delete(name);
      });
    }
    accepted.door.handOver(socket);
  }

  #readProxyHeader(socket: Socket, accepted: Accepted): void {
    const { deadlines, metrics } = this.deps;
    let start: Buffer = Buffer.alloc(0);
    const deadline = new HeaderDeadline(socket);
    deadlines.set(deadline, accepted.acceptedAtMs + this.deps.handshakeTimeoutMs);
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
        if (socket.destroyed) return;
        if (header.kind === 'header' && header.address !== undefined) accepted.address = header.address;
        this.#handOver(socket, accepted);
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

function onClose(this: AcceptedSocket): void {
  const accepted = this[kAccepted];
  accepted?.acceptor.onClosed(this, accepted);
}

function turnAway(socket: Socket, door: Door): void {
  socket.destroy();
  door.onClosed(socket);
}

/** A client may come from one port of its own to several of ours. */
function nameOf({ remoteAddress, remotePort, localPort }: Socket): string {
  return `${remoteAddress}/${remotePort}/${localPort}`;
}

function read(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}
