import { createServer, type Server, type Socket } from 'node:net';

import { Ack, AuthReply } from '@halley/protocol/client/bodies';
import { encodeMessageFrame } from '@halley/protocol/client/encode';
import { decodeMessage, FrameDecoder } from '@halley/protocol/decoder';
import { encodeFrame, type Frame, pushFrame } from '@halley/protocol/frame';
import { Operation, OperationV2 } from '@halley/protocol/operation';
import { type WebSocket, WebSocketServer } from 'ws';

/** Of the fake comet's version 2. */
export const WINDOW_ENTRIES = 4;

export type Way = 'tcp' | 'ws';

/** What a connection does instead of answering to its auth. */
export type Refusal = 'reset' | 'end' | 'code' | 'version 1' | undefined;

/** A connection that the fake comet was opened. */
export class FakeConnection {
  token = '';
  pongs = 0;
  readonly acks: Ack['cursors'][number][] = [];

  constructor(
    /** Beneath the WebSocket, if it is one. */
    readonly socket: Socket,
    readonly webSocket: WebSocket | undefined,
  ) {
    webSocket?.on('pong', () => {
      this.pongs += 1;
    });
  }

  /** Sends bytes as they are, and waits until the system has them. */
  raw(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(bytes, () => resolve());
    });
  }

  /** Sends a frame, on WebSocket as a message. */
  frame(bytes: Uint8Array): void {
    if (this.webSocket) this.webSocket.send(bytes);
    else this.socket.write(bytes);
  }
}

/**
 * The server's side of the client protocol, for tests of clients: it lets everybody in, answers heartbeats, notes what else
 * comes, and sends what a test gives it, byte by byte where it likes.
 */
export class FakeComet {
  readonly connections: FakeConnection[] = [];
  /** Asked at each auth, with its count from 0; let in unless it names a refusal. */
  refuse: (attempt: number) => Refusal = () => undefined;
  readonly #tcp: Server;
  readonly #ws: WebSocketServer;
  readonly #sockets = new Set<Socket>();
  #attempts = 0;

  private constructor(tcp: Server, ws: WebSocketServer) {
    this.#tcp = tcp;
    this.#ws = ws;
    tcp.on('connection', (socket) => this.#onTcp(socket));
    ws.on('connection', (webSocket, { socket }) => this.#onWebSocket(webSocket, socket));
  }

  static async listen(): Promise<FakeComet> {
    const tcp = createServer({ noDelay: true });
    const ws = new WebSocketServer({ host: '127.0.0.1', port: 0, path: '/sub' });
    await Promise.all([
      new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve)),
      new Promise<void>((resolve) => ws.once('listening', resolve)),
    ]);
    return new FakeComet(tcp, ws);
  }

  /** As it was at first, for the next test. */
  begin(): void {
    this.connections.length = 0;
    this.refuse = () => undefined;
    this.#attempts = 0;
  }

  address(way: Way): string {
    const { port } = (way === 'tcp' ? this.#tcp : this.#ws).address() as { port: number };
    return way === 'tcp' ? `tcp://127.0.0.1:${port}` : `ws://127.0.0.1:${port}/sub`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all([
      new Promise((resolve) => this.#tcp.close(resolve)),
      new Promise((resolve) => this.#ws.close(resolve)),
    ]);
  }

  #onTcp(socket: Socket): void {
    const connection = this.#add(socket, undefined);
    const decoder = new FrameDecoder({ version2: true });
    socket.on('data', (chunk) => {
      for (const frame of decoder.push(chunk)) this.#on(connection, frame);
    });
  }

  #onWebSocket(webSocket: WebSocket, socket: Socket): void {
    socket.setNoDelay(true);
    const connection = this.#add(socket, webSocket);
    webSocket.on('error', () => {});
    webSocket.on('message', (data: Buffer) => {
      for (const frame of decodeMessage(data, { version2: true })) this.#on(connection, frame);
    });
  }

  #add(socket: Socket, webSocket: WebSocket | undefined): FakeConnection {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
    return new FakeConnection(socket, webSocket);
  }

  #on(connection: FakeConnection, frame: Frame): void {
    if (frame.op === Operation.Auth) this.#onAuth(connection, frame);
    else if (frame.op === Operation.Heartbeat)
      connection.frame(encodeFrame(pushFrame(Operation.HeartbeatReply, new Uint8Array(4))));
    else if (frame.op === OperationV2.Ack) connection.acks.push(...Ack.decode(frame.body).cursors);
  }

  #onAuth(connection: FakeConnection, { body }: Frame): void {
    connection.token = Buffer.from(body).toString();
    const refusal = this.refuse(this.#attempts);
    this.#attempts += 1;
    const version2 = connection.token.includes('"ver":2') && refusal !== 'version 1';
    if (refusal === 'reset') connection.socket.resetAndDestroy();
    else if (refusal === 'end') connection.socket.destroy();
    else if (refusal === 'code') connection.webSocket?.close(3500);
    else {
      this.connections.push(connection);
      connection.frame(
        version2
          ? encodeMessageFrame(Operation.AuthReply, 0, AuthReply, {
              windowEntries: WINDOW_ENTRIES,
              windowBytes: 1_000_000,
            })
          : encodeFrame(pushFrame(Operation.AuthReply, new Uint8Array(0))),
      );
    }
  }
}
