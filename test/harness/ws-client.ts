import { once } from 'node:events';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';

import { WebSocket, type RawData } from 'ws';

import { decodeMessage } from '@halley/protocol/decoder';

import { GoimClient } from './goim-client.js';
import { MAX_PUSH_BODY_BYTES } from './tcp-client.js';

/** A goim client over WebSocket. */
export class WsClient extends GoimClient {
  override readonly transport = 'ws';
  readonly #socket: WebSocket;

  private constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    socket.on('message', (data: RawData, isBinary: boolean) => {
      if (!isBinary) this.breaches.push('a text message');
      try {
        const frames = decodeMessage(data as Buffer, { maxBodyBytes: MAX_PUSH_BODY_BYTES });
        if (frames.length !== 1) this.breaches.push(`${frames.length} bare frames in a message`);
        for (const frame of frames) this.received(frame);
      } catch (error) {
        this.breaches.push(String(error));
      }
    });
    socket.on('ping', () => this.breaches.push('a ping'));
    socket.on('error', () => undefined);
    socket.on('close', (code, reason) => this.ended({ code, reason: reason.toString() }));
  }

  /** Connects to `ws://host:port/sub`. */
  static async connect(url: string): Promise<WsClient> {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: MAX_PUSH_BODY_BYTES + 1024 });
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve).once('error', reject);
    });
    return new WsClient(socket);
  }

  override sendBytes(bytes: Uint8Array): void {
    this.#socket.send(bytes, { binary: true });
  }

  /** One message cut into fragments; `between` is called after each but the last. */
  sendFragments(pieces: readonly Uint8Array[], binary = true, between: () => void = () => undefined): void {
    pieces.forEach((piece, index) => {
      const fin = index === pieces.length - 1;
      this.#socket.send(piece, { binary, fin });
      if (!fin) between();
    });
  }

  /** The frame as a text message. */
  sendText(bytes: Uint8Array): void {
    this.#socket.send(bytes, { binary: false });
  }

  /** Sends a ping and answers the pong's payload. */
  async ping(payload: string): Promise<string> {
    const pong = new Promise<string>((resolve) => {
      this.#socket.once('pong', (data) => resolve(data.toString()));
    });
    this.#socket.ping(payload);
    return pong;
  }

  /** Starts the closing handshake. */
  sendClose(code: number): void {
    this.#socket.close(code);
  }

  override pause(): void {
    this.#socket.pause();
  }

  override resume(): void {
    this.#socket.resume();
  }

  override close(): void {
    this.#socket.terminate();
  }
}

/** What a server answers to an upgrade: the status, or 0 when it closes without one. */
export function upgradeStatus(url: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve) => {
    const upgrade = request(url.replace(/^ws/, 'http'), {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
        ...headers,
      },
    });
    const answer = (status: number): void => {
      resolve(status);
      upgrade.destroy();
    };
    upgrade.on('upgrade', (response) => answer(response.statusCode ?? 0));
    upgrade.on('response', (response) => answer(response.statusCode ?? 0));
    upgrade.on('error', () => answer(0));
    upgrade.end();
  });
}

/** The bare socket behind an upgrade, for bytes that no client library would send. */
export async function rawUpgrade(url: string): Promise<Socket> {
  const { hostname, port, host, pathname } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.on('error', () => undefined);
  socket.write(
    `GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  );
  const [answer] = (await once(socket, 'data')) as [Buffer];
  if (!answer.toString('latin1').startsWith('HTTP/1.1 101')) throw new Error(`no upgrade: ${String(answer)}`);
  return socket;
}
