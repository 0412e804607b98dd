import { HttpConnection } from './http-connection.js';
import type { HttpAnswer } from './http-connection.js';

export interface HttpPoolOptions {
  /** As `127.0.0.1:3111`; requests go to each in turn. */
  readonly addresses: readonly string[];
  readonly timeoutMs: number;
  /** Header lines of every request. */
  readonly headers: Readonly<Record<string, string>>;
}

interface Kept {
  readonly connection: HttpConnection;
  readonly head: string;
}

/** As many kept connections as there are requests under way at once. */
export class HttpPool {
  readonly #idle: Kept[] = [];
  readonly #all: HttpConnection[] = [];
  #turn = 0;

  constructor(private readonly options: HttpPoolOptions) {}

  /** Rejects when there is no answer. */
  async post(path: string, type: string, body: Buffer): Promise<HttpAnswer> {
    const kept = this.#idle.pop() ?? this.#open();
    const { connection, head } = kept;
    try {
      return await connection.request(
        `POST ${path} HTTP/1.1\r\n${head}content-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`,
        body,
      );
    } finally {
      this.#idle.push(kept);
    }
  }

  close(): void {
    for (const connection of this.#all) connection.close();
  }

  #open(): Kept {
    const { addresses, timeoutMs, headers } = this.options;
    const address = addresses[this.#turn++ % addresses.length] ?? '';
    const colon = address.lastIndexOf(':');
    const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
    const connection = new HttpConnection(host, Number(address.slice(colon + 1)), timeoutMs);
    this.#all.push(connection);
    const lines = Object.entries({ host: address, ...headers }).map(
      ([name, value]) => `${name}: ${value}\r\n`,
    );
    return { connection, head: lines.join('') };
  }
}
