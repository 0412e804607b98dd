import { connect, type Socket } from 'node:net';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

interface Waiting {
  readonly resolve: (answer: HttpAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

const HEAD_END = Buffer.from('\r\n\r\n');
const MAX_ANSWER_BYTES = 4 * 1_048_576;

/**
 * One kept HTTP/1.1 connection with one request under way at a time. Node's own client takes four times as much of a core:
 * with it the bench would measure itself. Takes answers with a content-length only, as short ones have.
 */
export class HttpConnection {
  #socket: Socket | undefined;
  #waiting: Waiting | undefined;
  #read = Buffer.alloc(0);

  constructor(
    private readonly host: string,
    private readonly port: number,
    private readonly timeoutMs: number,
  ) {}

  /** Sends a whole request; connects first where there is no connection. Rejects when there is no answer. */
  request(head: string, body: Buffer): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#fail(new Error(`no answer in ${this.timeoutMs} ms`)),
        this.timeoutMs,
      );
      this.#waiting = { resolve, reject, timer };
      this.#socket ??= this.#connect();
      this.#socket.cork();
      this.#socket.write(head, 'latin1');
      this.#socket.write(body);
      this.#socket.uncork();
    });
  }

  close(): void {
    this.#fail(new Error('closed'));
  }

  #connect(): Socket {
    const socket = connect({ host: this.host, port: this.port, noDelay: true });
    this.#read = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      this.#read = this.#read.length === 0 ? chunk : Buffer.concat([this.#read, chunk]);
      this.#parse();
    });
    socket.on('error', (error) => this.#fail(error, socket));
    socket.on('close', () => this.#fail(new Error('the server closed the connection'), socket));
    return socket;
  }

  #parse(): void {
    const headEnd = this.#read.indexOf(HEAD_END);
    if (headEnd < 0) return;
    const head = this.#read.toString('latin1', 0, headEnd);
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
    if (!(status >= 100) || !(length <= MAX_ANSWER_BYTES))
      return this.#fail(new Error('an answer without a content-length'));
    const bodyAt = headEnd + HEAD_END.length;
    if (this.#read.length < bodyAt + length) return;
    const body = this.#read.toString('utf8', bodyAt, bodyAt + length);
    this.#read = this.#read.subarray(bodyAt + length);
    if (/\r\nconnection: *close/i.test(head)) this.#drop();
    this.#settle()?.resolve({ status, body });
  }

  /** `of`: only when it is still the connection in use. */
  #fail(error: Error, of?: Socket): void {
    if (of !== undefined && of !== this.#socket) return;
    this.#drop();
    this.#settle()?.reject(error);
  }

  #drop(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #settle(): Waiting | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    clearTimeout(waiting?.timer);
    return waiting;
  }
}
