import { isUtf8 } from 'node:buffer';
import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
  STATUS_CODES,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TlsOptions } from 'node:tls';

import { CloseCode as CloseCodes, type CloseCode } from '@halley/protocol/close-code';
import { decodeMessage } from '@halley/protocol/decoder';
import { HalleyError } from '@halley/protocol/error';
import type { Frame } from '@halley/protocol/frame';
import { WebSocket, WebSocketServer } from 'ws';

import type { Session } from '../session/session.js';
import type { Client } from './acceptor.js';
import type { Transport } from './transport.js';

/** The one path that is served. */
const PATH = '/sub';
const MAX_HEADER_BYTES = 16 * 1024;
/** A socket waits so long for its next request: longer than nginx keeps one, so that nginx closes it and not we. */
const IDLE_SOCKET_MS = 65_000;
/** A close frame's reason has at most 123 bytes. */
const MAX_REASON_CHARACTERS = 100;

/**
 * A connection of `ws` whose closing is decided by its session: `ws` would answer a close frame, or a breach of the
 * protocol, at once, ahead of what the client had said before.
 */
class ClientWebSocket extends WebSocket {
  transport: WebSocketTransport | undefined = undefined;

  /** Called by `ws`: with a reason, or without a code, for a close frame of the client's, else for a breach. */
  override close(code?: number, reason?: string | Buffer): void {
    const { transport } = this;
    if (this.readyState !== WebSocket.OPEN || !transport) super.close(code, reason);
    else if (code !== undefined && reason === undefined) transport.onBreach(code);
    else transport.onLeft(code, reason);
  }

  /** Sends a close frame. */
  finish(code?: number, reason?: string | Buffer): void {
    super.close(code, reason);
  }
}

/**
 * Frames in WebSocket messages. `ws` reads, and answers pings; what we send is framed here and written to the socket
 * itself, so that one buffer serves all receivers. `ws` writes its control frames whole, so they never mix.
 */
export class WebSocketTransport implements Transport {
  readonly variant = 'websocket';
  #session: Session | undefined;
  #version2 = false;
  /** The close frame that the client sent. */
  #left: { readonly code: number | undefined; readonly reason: Buffer | string } | undefined;
  /** WebSocket's own code for what the client broke: 1002, 1008 or 1009. */
  #breach: number | undefined;

  constructor(
    private readonly ws: ClientWebSocket,
    readonly clientIp: string,
    readonly cookie: string,
    readonly secure: boolean,
    private readonly maxBodyBytes: number,
  ) {}

  /** Starts to read. */
  attach(session: Session): void {
    this.#session = session;
    this.ws.transport = this;
    this.ws.on('message', onMessage);
    this.ws.on('ping', onPing);
    this.ws.on('error', onError);
    this.ws.on('close', onClose);
  }

  acceptVersion2(): void {
    this.#version2 = true;
  }

  close(code: CloseCode, reason: string): void {
    const sent = code === CloseCodes.BadFrame || code === CloseCodes.FrameTooLarge ? this.#breach : undefined;
    this.ws.finish(sent ?? code, reason.slice(0, MAX_REASON_CHARACTERS).replace(/[^\x20-\x7e]/g, '?'));
    this.ws.resume();
  }

  /** Answers the client's close frame with its own code and reason. */
  end(): void {
    const { code, reason = '' } = this.#left ?? {};
    // A reason is text; ws does not check what it reads.
    if (code === undefined) this.ws.finish();
    else this.ws.finish(code, typeof reason === 'string' || isUtf8(reason) ? reason : '');
    this.ws.resume();
  }

  destroy(): void {
    this.ws.terminate();
  }

  pause(): void {
    this.ws.pause();
  }

  resume(): void {
    this.ws.resume();
  }

  onMessage(data: Buffer): void {
    const session = this.#session;
    if (!session?.open) return;
    const frames: Frame[] = [];
    try {
      decodeMessage(data, { maxBodyBytes: this.maxBodyBytes, version2: this.#version2 }, frames);
    } catch (error) {
      session.receive(frames);
      session.refuse(error);
      return;
    }
    session.receive(frames);
  }

  onLeft(code: number | undefined, reason: Buffer | string | undefined): void {
    this.#left = { code, reason: reason ?? '' };
    this.#session?.onLeft();
  }

  /** `ws` tells what it is with an error, which follows. */
  onBreach(code: number): void {
    this.#breach = code;
  }

  /** `ws` has answered, on the socket itself. */
  onPing(): void {
    this.#session?.outbox.look();
  }

  onError(error: Error): void {
    this.#session?.refuse(breachOf(this.#breach, error));
  }

  onClose(): void {
    this.#session?.onGone();
  }
}

function breachOf(code: number | undefined, { message }: Error): HalleyError {
  if (code === 1_008) return new HalleyError('bad_frame', 'The message came in too many parts.');
  if (code === 1_009) return new HalleyError('frame_too_large', 'The message is larger than the limit.');
  return new HalleyError('bad_frame', `${message}.`);
}

function onMessage(this: WebSocket, data: Buffer | ArrayBuffer | Buffer[]): void {
  transportOf(this)?.onMessage(data as Buffer);
}

function onPing(this: WebSocket): void {
  transportOf(this)?.onPing();
}

function onError(this: WebSocket, error: Error): void {
  transportOf(this)?.onError(error);
}

function onClose(this: WebSocket): void {
  transportOf(this)?.onClose();
}

function transportOf(ws: WebSocket): WebSocketTransport | undefined {
  return (ws as ClientWebSocket).transport;
}

export interface WebSocketServerOptions {
  readonly keepAliveMs: number;
  /** From the accepted connection to the end of the TLS handshake, and to the end of the request's header. */
  readonly handshakeTimeoutMs: number;
  readonly closeTimeoutMs: number;
  /** Largest message, in bytes: it may hold several frames. */
  readonly maxMessageBytes: number;
  /** Most parts of one message: WebSocket fragments, and pieces in which a frame may arrive. */
  readonly maxMessageParts: number;
  /** Whether a browser's page of this origin may connect. */
  readonly allowsOrigin: (origin: string) => boolean;
}

export interface WebSocketServerDeps {
  clientOf(socket: Socket): Client | undefined;
  /** The client's address as X-Forwarded-For of a trusted proxy says. */
  forwardedFor(peer: string, header: string | undefined): string;
  /** Counts the connection in; else why it is refused. */
  admit(socket: Socket): 'node_full' | 'draining' | undefined;
  onConnection(ws: ClientWebSocket, socket: Duplex, request: UpgradeRequest, client: Client): void;
  onRefused(reason: string): void;
  /** A request that is no upgrade. */
  onRequest(request: IncomingMessage, response: ServerResponse): void;
}

/** What is kept of the request of an upgrade. */
export interface UpgradeRequest {
  readonly cookie: string;
}

/** An HTTP (or HTTPS) server that serves WebSocket upgrades at /sub itself. */
export function webSocketServer(
  options: WebSocketServerOptions,
  deps: WebSocketServerDeps,
  tls?: TlsOptions,
): Server {
  const httpOptions: ServerOptions = {
    noDelay: true,
    keepAlive: options.keepAliveMs > 0,
    keepAliveInitialDelay: options.keepAliveMs,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: options.handshakeTimeoutMs,
    // To its end a request must have come by then; its answer may take as long as it likes.
    requestTimeout: options.handshakeTimeoutMs,
    keepAliveTimeout: IDLE_SOCKET_MS,
    connectionsCheckingInterval: 1_000,
  };
  const server: Server = tls
    ? createTlsServer({ ...httpOptions, ...tls, handshakeTimeout: options.handshakeTimeoutMs })
    : createServer(httpOptions);
  const upgraderOptions = {
    noServer: true,
    WebSocket: ClientWebSocket,
    // A text message is read as a binary one: its bytes are frames.
    skipUTF8Validation: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: options.maxMessageBytes,
    maxFragments: options.maxMessageParts,
    maxBufferedChunks: options.maxMessageParts,
    closeTimeout: options.closeTimeoutMs,
  };
  const upgrader = new WebSocketServer(upgraderOptions);
  server.on('request', (request, response) => deps.onRequest(request, response));
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('tlsClientError', (_error: Error, socket: Socket) => socket.destroy());
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', ignore);
    const client = deps.clientOf(request.socket);
    const refuse = (status: number, reason: string): void => {
      deps.onRefused(reason);
      refuseUpgrade(socket, status);
    };
    if (!client) {
      socket.destroy();
      return;
    }
    if (request.url !== PATH) {
      refuse(404, 'path');
      return;
    }
    const { origin } = request.headers;
    if (origin !== undefined && !options.allowsOrigin(origin)) {
      refuse(403, 'origin');
      return;
    }
    const refusal = deps.admit(request.socket);
    if (refusal) {
      refuse(503, refusal);
      return;
    }
    const forwarded = request.headers['x-forwarded-for'];
    const header = Array.isArray(forwarded) ? forwarded.join(',') : forwarded;
    const address = deps.forwardedFor(client.address, header);
    const cookie = request.headers.cookie ?? '';
    upgrader.handleUpgrade(request, socket, head, (ws) => {
      // ws has a listener of its own.
      socket.removeListener('error', ignore);
      deps.onConnection(ws, socket, { cookie }, { address, acceptedAtMs: client.acceptedAtMs });
    });
  });
  return server;
}

function ignore(): void {}

function refuseUpgrade(socket: Duplex, status: number): void {
  const text = STATUS_CODES[status] ?? '';
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status} ${text}\r\nconnection: close\r\ncontent-type: text/plain\r\n` +
      `content-length: ${text.length + 1}\r\n\r\n${text}\n`,
  );
}

/** Which origins may connect: all in `open` mode, else those listed; `*` is all. */
export function originCheck(mode: 'open' | 'jwt', origins: readonly string[]): (origin: string) => boolean {
  if (mode === 'open' || origins.includes('*')) return () => true;
  const allowed = new Set(origins.map((origin) => origin.toLowerCase()));
  return (origin) => allowed.has(origin.toLowerCase());
}
