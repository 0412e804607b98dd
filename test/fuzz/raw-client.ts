import { connect, type Socket } from 'node:net';

/** A bare TCP connection, for bytes that no client library would send; keeps all that comes back. */
export class RawClient {
  readonly closed: Promise<void>;
  #isClosed = false;
  readonly #chunks: Buffer[] = [];
  #wake: () => void = () => undefined;

  private constructor(private readonly socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    // A reset is an end too; `close` follows.
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      });
    });
  }

  /** Connects to `host:port`, from a certain address of this machine when it is given. */
  static async connect(address: string, from?: string): Promise<RawClient> {
    const { hostname, port } = new URL(`tcp://${address}`);
    const options = { host: hostname, port: Number(port), noDelay: true };
    const socket = connect(from === undefined ? options : { ...options, localAddress: from });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
    return new RawClient(socket);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  sendBytes(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  /** Waits until something has come back, or the connection has ended. */
  async answered(): Promise<void> {
    if (this.#chunks.length > 0 || this.#isClosed) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  close(): void {
    this.socket.destroy();
  }
}

/** What a server said on a WebSocket connection that breaks RFC 6455, a line each; the last frame may be cut off. */
export function breachesOf(answer: Buffer): string[] {
  const headEnd = answer.indexOf('\r\n\r\n');
  if (headEnd < 0 || !answer.toString('latin1', 0, headEnd).startsWith('HTTP/1.1 101 ')) {
    return [`no upgrade: ${answer.toString('latin1', 0, 40)}`];
  }
  const breaches: string[] = [];
  let closes = 0;
  for (let at = headEnd + 4; at + 2 <= answer.length;) {
    const [first, second] = [answer.readUInt8(at), answer.readUInt8(at + 1)];
    // Whole messages, close frames and pongs; never masked.
    if (![0x82, 0x88, 0x8a].includes(first)) return [...breaches, `a frame that begins with ${first}`];
    if (second > 127) return [...breaches, 'a masked frame'];
    if (closes > 0) breaches.push(`a frame behind the close frame, beginning with ${first}`);
    if (first === 0x88) closes += 1;
    const extra = second === 126 ? 2 : second === 127 ? 8 : 0;
    if (at + 2 + extra > answer.length) break;
    const length =
      extra === 2
        ? answer.readUInt16BE(at + 2)
        : extra === 8
          ? Number(answer.readBigUInt64BE(at + 2))
          : second;
    at += 2 + extra + length;
  }
  return breaches;
}
