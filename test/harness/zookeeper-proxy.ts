import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

import { createClient } from 'node-zookeeper-client';

/** Stands between one process and ZooKeeper: loses the connection as a network does, and knows the session. */
export class ZooKeeperProxy {
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;
  #state: 'open' | 'cut' | 'frozen' = 'open';
  #session: { readonly id: Buffer; readonly password: Buffer } | undefined;

  private constructor(private readonly upstream: string) {}

  static async start(upstream: string): Promise<ZooKeeperProxy> {
    const proxy = new ZooKeeperProxy(upstream);
    const server = createServer((socket) => proxy.#onConnection(socket));
    proxy.#server = server;
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    proxy.#port = (server.address() as AddressInfo).port;
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Of the session that came through last. */
  get sessionId(): string {
    return this.#session?.id.toString('hex') ?? '';
  }

  /** Connections break and none can be made: from ZooKeeper's side, the process was killed. */
  cut(): void {
    this.#state = 'cut';
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Connections stay and new ones are accepted, but nothing comes through them, ever. */
  freeze(): void {
    this.#state = 'frozen';
    for (const socket of this.#sockets) {
      socket.unpipe();
      socket.pause();
    }
  }

  /** New connections work again. */
  mend(): void {
    this.#state = 'open';
  }

  /** Ends the session at the server, by another connection of the same session that says goodbye. Leaves the proxy cut. */
  async expireSession(): Promise<void> {
    const session = this.#session;
    if (!session) throw new Error('no session came through yet');
    // Meanwhile the process must not come back: of two connections of a session, the server keeps the later one.
    this.cut();
    const options = { sessionId: session.id, sessionPassword: session.password, sessionTimeout: 2_000 };
    const client = createClient(this.upstream, options);
    await new Promise<void>((resolve) => {
      client.once('connected', () => {
        client.once('disconnected', resolve);
        client.close();
      });
      client.connect();
    });
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  #onConnection(socket: Socket): void {
    socket.on('error', () => undefined);
    if (this.#state === 'cut') {
      socket.destroy();
      return;
    }
    if (this.#state === 'frozen') {
      this.#sockets.add(socket);
      return;
    }
    const [host = '', port = ''] = this.upstream.split(':');
    const server = connect(Number(port), host);
    for (const [one, other] of [
      [socket, server],
      [server, socket],
    ] as const) {
      this.#sockets.add(one);
      one.pipe(other);
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#sockets.delete(one);
        other.destroy();
      });
    }
    // The answer to the connect request: length, protocol version, timeout, session id, password.
    server.once('data', (bytes) => {
      if (bytes.length >= 40 && bytes.readInt32BE(8) > 0) {
        this.#session = {
          id: Buffer.from(bytes.subarray(12, 20)),
          password: Buffer.from(bytes.subarray(24, 40)),
        };
      }
    });
  }
}
