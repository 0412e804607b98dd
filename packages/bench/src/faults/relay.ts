import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Stands between two processes, over TCP, and can be cut: then nothing passes, as where packets are lost. */
export class Relay {
  readonly #sockets = new Set<Socket>();
  /** Connections that came while it was cut. */
  readonly #waiting = new Set<Socket>();
  #isCut = false;

  private constructor(
    private readonly server: Server,
    private readonly to: { readonly host: string; readonly port: number },
  ) {
    server.on('connection', (socket: Socket) => {
      socket.on('error', () => undefined);
      if (!this.#isCut) return this.#join(socket);
      this.#waiting.add(socket);
      socket.once('close', () => this.#waiting.delete(socket));
    });
  }

  /** Listens on `host` for what is meant for `to`, `host:port`; without a port, on a free one. */
  static async open(to: string, host = '127.0.0.1', port = 0): Promise<Relay> {
    const server = createServer({ pauseOnConnect: false });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(port, host, resolve);
    });
    const colon = to.lastIndexOf(':');
    return new Relay(server, { host: to.slice(0, colon), port: Number(to.slice(colon + 1)) });
  }

  /** `host:port` */
  get address(): string {
    const { address, port } = this.server.address() as AddressInfo;
    return `${address}:${port}`;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** What was on its way arrives now. */
  mend(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.resume();
    for (const socket of this.#waiting) this.#join(socket);
    this.#waiting.clear();
  }

  async close(): Promise<void> {
    for (const socket of [...this.#sockets, ...this.#waiting]) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  #join(socket: Socket): void {
    const other = connect(this.to);
    for (const [one, peer] of [
      [socket, other],
      [other, socket],
    ] as const) {
      this.#sockets.add(one);
      one.on('error', () => undefined);
      one.on('data', (chunk: Buffer) => {
        if (peer.write(chunk)) return;
        one.pause();
        peer.once('drain', () => {
          if (!this.#isCut) one.resume();
        });
      });
      one.on('close', () => {
        this.#sockets.delete(one);
        peer.destroy();
      });
    }
  }
}
