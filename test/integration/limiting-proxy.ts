import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

/** What a proxy between clients and comet's HTTP port does. */
export interface Limits {
  /** `hang`: takes the upgrade, and never answers. */
  readonly webSocket?: 'passes' | 'refused' | 'hangs';
  /** `buffered`: the answer is held until it ends. */
  readonly sse?: 'passes' | 'refused' | 'buffered';
  /** Every so many requests the answer is lost: the request arrived, the connection breaks. 0 is never. */
  readonly losesEvery?: number;
}

/** An HTTP proxy as they stand between offices, hotels, old devices and the world. */
export class LimitingProxy {
  limits: Limits;
  /** Requests, as `GET /sse`; an upgrade is `WebSocket`. */
  readonly seen: string[] = [];
  /** Answers that were lost. */
  lost = 0;
  #requests = 0;
  readonly #sockets = new Set<Duplex>();
  readonly #server = http.createServer((request, response) => this.#forward(request, response));

  private constructor(
    private readonly to: URL,
    limits: Limits,
  ) {
    this.limits = limits;
    this.#server.on('connection', (socket) => this.#keep(socket));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** In front of `ws://host:port`. */
  static async start(to: string, limits: Limits = {}): Promise<LimitingProxy> {
    const proxy = new LimitingProxy(new URL(to), limits);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get address(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Breaks every connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method = '', url = '/', headers } = request;
    const path = url.split('?')[0] ?? '';
    this.seen.push(`${method} ${path}`);
    const { sse = 'passes', losesEvery = 0 } = this.limits;
    if (path === '/sse' && sse === 'refused') return void response.writeHead(403).end('Not here.');
    this.#requests += 1;
    const loses = path !== '/sse' && losesEvery > 0 && this.#requests % losesEvery === 0;
    const forwarded = http.request(
      { host: this.to.hostname, port: this.to.port, method, path: url, headers },
      (answer) => {
        if (loses) {
          this.lost += 1;
          answer.resume();
          return void response.destroy();
        }
        if (path === '/sse' && sse === 'buffered') return void answer.resume();
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
        answer.once('error', () => response.destroy());
      },
    );
    forwarded.on('error', () => response.destroy());
    response.once('close', () => forwarded.destroy());
    request.pipe(forwarded);
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.seen.push('WebSocket');
    const { webSocket = 'passes' } = this.limits;
    if (webSocket === 'hangs') return;
    if (webSocket === 'refused')
      return void socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n');
    const comet = net.connect(Number(this.to.port), this.to.hostname);
    this.#keep(comet);
    const headers = request.rawHeaders
      .map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`))
      .join('');
    comet.write(`GET ${request.url} HTTP/1.1\r\n${headers}\r\n`);
    comet.write(head);
    socket.pipe(comet).pipe(socket);
    socket.once('close', () => comet.destroy());
    comet.once('close', () => socket.destroy());
  }
}
