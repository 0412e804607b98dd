import { connect, type Socket } from 'node:net';

import { FrameDecoder } from '@halley/protocol/decoder';
import { Operation } from '@halley/protocol/operation';

import { GoimClient } from './goim-client.js';

/** The largest body that a test client takes from a server, in bytes. */
export const MAX_PUSH_BODY_BYTES = 4 * 1024 * 1024;

/** A goim client over TCP. */
export class TcpClient extends GoimClient {
  override readonly transport = 'tcp';
  readonly #decoder = new FrameDecoder({ maxBodyBytes: MAX_PUSH_BODY_BYTES });
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    super();
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      try {
        for (const frame of this.#decoder.push(chunk)) {
          if (frame.op === Operation.Raw && frame.body.length > 0) this.breaches.push('operation 9 on TCP');
          this.received(frame);
        }
      } catch (error) {
        this.breaches.push(String(error));
        socket.destroy();
      }
    });
    // A reset is an end too; `close` follows.
    socket.on('error', () => undefined);
    socket.on('close', () => this.ended({ code: undefined, reason: '' }));
  }

  /** Connects to `host:port`, from a certain address of this machine when it is given. */
  static async connect(address: string, from?: string): Promise<TcpClient> {
    const [host, port] = splitAddress(address);
    const socket = connect({ host, port: Number(port), ...(from ? { localAddress: from } : {}) });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
    return new TcpClient(socket);
  }

  override sendBytes(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Sends the bytes one at a time, each as a packet of its own. */
  async sendByteByByte(bytes: Uint8Array): Promise<void> {
    for (const byte of bytes) {
      await new Promise<void>((resolve) =>
        this.#socket.write(Uint8Array.of(byte), () => setImmediate(resolve)),
      );
    }
  }

  /** Ends the client's side, behind what was sent; the server may still answer. */
  endSide(): void {
    this.#socket.end();
  }

  override pause(): void {
    this.#socket.pause();
  }

  override resume(): void {
    this.#socket.resume();
  }

  override close(): void {
    this.#socket.destroy();
  }
}

function splitAddress(address: string): [string, string] {
  const colon = address.lastIndexOf(':');
  return [address.slice(0, colon), address.slice(colon + 1)];
}
