import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';

import type { CloseCode } from '@halley/protocol/close-code';
import { FrameDecoder } from '@halley/protocol/decoder';
import type { Frame } from '@halley/protocol/frame';

import type { Session } from '../session/session.js';
import type { Client } from './acceptor.js';
import type { Transport } from './transport.js';

const kTransport = Symbol('transport');

/** A socket that knows its transport, so that its listeners are shared by all connections. */
interface OwnedSocket extends Socket {
  [kTransport]?: TcpTransport;
}

/** Frames on a TCP (or TLS) stream, cut and glued anywhere. */
export class TcpTransport implements Transport {
  readonly variant = 'tcp';
  readonly cookie = '';
  readonly #decoder: FrameDecoder;
  #session: Session | undefined;

  constructor(
    private readonly socket: Socket,
    readonly clientIp: string,
    maxBodyBytes: number,
  ) {
    this.#decoder = new FrameDecoder({ maxBodyBytes });
  }

  get secure(): boolean {
    return 'encrypted' in this.socket;
  }

  /** Starts to read. */
  attach(session: Session): void {
    this.#session = session;
    const owned: OwnedSocket = this.socket;
    owned[kTransport] = this;
    // What came ahead of the client's end is handled, and answered, before ours.
    owned.allowHalfOpen = true;
    owned.on('data', onData);
    owned.on('end', onEnd);
    owned.on('error', onError);
    owned.on('close', onClose);
  }

  acceptVersion2(): void {
    this.#decoder.acceptVersion2();
  }

  close(_code: CloseCode, _reason: string): void {
    this.end();
  }

  end(): void {
    this.socket.end();
    this.socket.resume();
  }

  destroy(): void {
    this.socket.destroy();
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  onData(chunk: Buffer): void {
    const session = this.#session;
    if (!session?.open) return;
    const frames: Frame[] = [];
    try {
      this.#decoder.push(chunk, frames);
    } catch (error) {
      session.receive(frames);
      session.refuse(error);
      return;
    }
    session.receive(frames);
  }

  onEnd(): void {
    this.#session?.onLeft();
  }

  onClose(): void {
    // What was read while paused; a socket that was cut off does not hand it over itself.
    for (let chunk = read(this.socket); chunk; chunk = read(this.socket)) this.onData(chunk);
    this.#session?.onGone();
  }
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  this[kTransport]?.onData(chunk);
}

function onEnd(this: OwnedSocket): void {
  this[kTransport]?.onEnd();
}

/** 'close' follows. */
function onError(this: OwnedSocket): void {}

function onClose(this: OwnedSocket): void {
  this[kTransport]?.onClose();
}

function read(socket: Socket): Buffer | null {
  return socket.read() as Buffer | null;
}

export interface TcpServerOptions {
  /** Seconds of silence are probed by the kernel after this, in milliseconds; 0 is never. */
  readonly keepAliveMs: number;
  /** From the accepted connection to the end of the TLS handshake. */
  readonly handshakeTimeoutMs: number;
}

export interface StreamServerDeps {
  clientOf(socket: Socket): Client | undefined;
  onConnection(socket: Socket, client: Client): void;
}

/** A server of plain TCP, or of TLS when given. */
export function tcpServer(options: TcpServerOptions, deps: StreamServerDeps, tls?: TlsOptions): Server {
  const socketOptions = {
    noDelay: true,
    keepAlive: options.keepAliveMs > 0,
    keepAliveInitialDelay: options.keepAliveMs,
  };
  const onSocket = (socket: Socket): void => {
    const client = deps.clientOf(socket);
    if (client) deps.onConnection(socket, client);
    else socket.destroy();
  };
  if (!tls) return createServer(socketOptions, onSocket);
  const tlsOptions = { ...socketOptions, ...tls, handshakeTimeout: options.handshakeTimeoutMs };
  const server = createTlsServer(tlsOptions, onSocket);
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}
