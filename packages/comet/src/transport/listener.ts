import { type AddressInfo, Server, type Socket } from 'node:net';

import type { Service } from '@halley/service/lifecycle';
import { cannotBind, portTaken } from '@halley/service/port-holder';

import type { Acceptor, Door } from './acceptor.js';

export interface ListenerOptions {
  /** For errors, as `comet tcp`. */
  readonly use: string;
  readonly host: string;
  /** 0 is any free port. */
  readonly port: number;
  /** Whether each socket is a client's connection, as it is not with HTTP. */
  readonly isConnection: boolean;
  /** Whether the server is one of TLS. */
  readonly encrypted: boolean;
}

/** A listening socket whose connections go through the acceptor before the server itself sees them. */
export class Listener implements Service {
  readonly name: string;
  readonly #sockets = new Set<Socket>();

  constructor(
    private readonly server: Server,
    acceptor: Acceptor,
    private readonly options: ListenerOptions,
  ) {
    this.name = options.use;
    const original = server.listeners('connection') as ((this: Server, socket: Socket) => void)[];
    server.removeAllListeners('connection');
    const { isConnection, encrypted } = options;
    const door: Door = {
      isConnection,
      encrypted,
      handOver: (socket) => {
        for (const listener of original) listener.call(server, socket);
      },
      onClosed: (socket) => this.#sockets.delete(socket),
    };
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      acceptor.accept(socket, door);
    });
  }

  /** The port that was bound; 0 before the start. */
  get boundPort(): number {
    return (this.server.address() as AddressInfo | null)?.port ?? 0;
  }

  /** Throws `bad_config` when the port is taken, naming its holder. */
  async start(): Promise<void> {
    const { host, port, use } = this.options;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen({ host, port, backlog: 4_096 }, () => {
        this.server.removeListener('error', reject);
        resolve();
      });
    }).catch(async (error: NodeJS.ErrnoException) => {
      const claim = { host, port, use };
      if (error.code === 'EADDRINUSE') throw await portTaken(claim);
      throw cannotBind(claim, error.code ?? error.message);
    });
    // Running out of descriptors is no reason to end the process.
    this.server.on('error', () => undefined);
  }

  /** Takes no new connections; those there are stay. */
  close(): void {
    // An HTTP server's own close would cut off answers that are still being written.
    if (this.server.listening) Server.prototype.close.call(this.server);
  }

  /** Closes and cuts off what is left. */
  async stop(_deadlineMs: number): Promise<void> {
    this.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
