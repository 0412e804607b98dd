import { connect, type Socket } from 'node:net';

import { decodeMessage, FrameDecoder, unpackRaw } from '@halley/protocol/decoder';
import { encodeFrame, type Frame } from '@halley/protocol/frame';
import { encodeFrameV2, isFrameV2 } from '@halley/protocol/frame-v2';
import { Operation } from '@halley/protocol/operation';
import { WebSocket } from 'ws';

const WAIT_MS = 5_000;
const PUSH_LIMITS = { maxBodyBytes: 16 * 1024 * 1024, version2: true };

function encode(one: Frame): Uint8Array {
  return isFrameV2(one) ? encodeFrameV2(one) : encodeFrame(one);
}

/** A frame with a text body. */
export function frame(op: number, body: string | Uint8Array = '', seq = 1, ver = 1): Frame {
  return { ver, op, seq, body: typeof body === 'string' ? Buffer.from(body) : body };
}

/** How a connection ended. */
export interface Ended {
  /** WebSocket close code; 0 on TCP. */
  readonly code: number;
  readonly reason: string;
}

/** A client of the tests: collects frames and waits for them. */
export abstract class TestClient {
  /** Frames that came and nobody waited for. */
  readonly frames: Frame[] = [];
  /** All bytes that came. */
  receivedBytes = 0;
  ended: Ended | undefined;
  #waiters: (() => void)[] = [];

  abstract send(...frames: Frame[]): void;
  abstract close(): void;

  async auth(token: object): Promise<Frame> {
    this.send(frame(Operation.Auth, JSON.stringify(token)));
    return this.next();
  }

  /** The next frame. */
  async next(): Promise<Frame> {
    await this.#until(() => this.frames.length > 0 || this.ended !== undefined);
    const next = this.frames.shift();
    if (!next) throw new Error(`ended with ${this.ended?.code} ${this.ended?.reason}`);
    return next;
  }

  /** The next frames, as `op:body`. */
  async texts(count: number): Promise<string[]> {
    const texts: string[] = [];
    for (let i = 0; i < count; i += 1) {
      const { op, body } = await this.next();
      texts.push(`${op}:${Buffer.from(body).toString()}`);
    }
    return texts;
  }

  async end(): Promise<Ended> {
    await this.#until(() => this.ended !== undefined);
    return this.ended as Ended;
  }

  protected took(frames: readonly Frame[]): void {
    this.frames.push(...frames.map((one) => ({ ...one, body: Uint8Array.from(one.body) })));
    this.#wake();
  }

  protected over(code: number, reason: string): void {
    this.ended ??= { code, reason };
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }

  async #until(condition: () => boolean): Promise<void> {
    const until = Date.now() + WAIT_MS;
    while (!condition()) {
      const left = until - Date.now();
      if (left <= 0) throw new Error('waited in vain');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }
}

/** A client over TCP (or over any stream given). */
export class TcpClient extends TestClient {
  readonly #decoder = new FrameDecoder(PUSH_LIMITS);

  private constructor(readonly socket: Socket) {
    super();
    socket.on('data', (chunk: Buffer) => {
      this.receivedBytes += chunk.length;
      this.took(this.#decoder.push(chunk));
    });
    socket.on('error', () => undefined);
    socket.on('close', () => this.over(0, 'closed'));
  }

  static async connect(port: number, host = '127.0.0.1'): Promise<TcpClient> {
    const socket = connect({ port, host, noDelay: true });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new TcpClient(socket);
  }

  static over(socket: Socket): TcpClient {
    return new TcpClient(socket);
  }

  send(...frames: Frame[]): void {
    this.socket.write(Buffer.concat(frames.map(encode)));
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  close(): void {
    this.socket.destroy();
  }
}

/** A client over WebSocket. Pushes come as op 9 messages; their frames are handed out. */
export class WsClient extends TestClient {
  /** Messages as they came, by the operation of their outer frame. */
  readonly outer: number[] = [];
  pings = 0;

  private constructor(readonly ws: WebSocket) {
    super();
    ws.on('message', (data: Buffer) => {
      this.receivedBytes += data.length;
      for (const one of decodeMessage(data, PUSH_LIMITS)) {
        this.outer.push(one.op);
        // The echo of an op 9 that a client sent has no frames in it.
        this.took(one.body.length === 0 ? [one] : unpackRaw(one));
      }
    });
    ws.on('ping', () => {
      this.pings += 1;
    });
    ws.on('error', () => undefined);
    ws.on('close', (code, reason) => this.over(code, reason.toString()));
  }

  static async connect(
    port: number,
    options: { path?: string; headers?: Record<string, string>; scheme?: string; ca?: string } = {},
  ): Promise<WsClient> {
    const { path = '/sub', headers = {}, scheme = 'ws', ca } = options;
    const ws = new WebSocket(`${scheme}://127.0.0.1:${port}${path}`, { headers, ...(ca ? { ca } : {}) });
    const client = new WsClient(ws);
    await new Promise<void>((resolve, reject) => {
      ws.once('open', resolve);
      ws.once('error', reject);
    });
    return client;
  }

  send(...frames: Frame[]): void {
    for (const one of frames) this.ws.send(encode(one));
  }

  close(): void {
    this.ws.terminate();
  }
}
