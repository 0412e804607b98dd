import { Agent, request } from 'node:http';

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly text: string;
}

/** Values of a query: a list is the name repeated. */
export type Query = Record<string, string | number | bigint | readonly (string | number | bigint)[]>;

/** The HTTP API of one logic, over connections that are kept. */
export class HttpApi {
  readonly #agent = new Agent({ keepAlive: true });

  /** `base` as `http://host:port`. */
  constructor(private readonly base: string) {}

  get(path: string, query: Query = {}): Promise<HttpAnswer> {
    return this.call('GET', path, query);
  }

  post(
    path: string,
    query: Query,
    body: Uint8Array | string = '',
    headers: Record<string, string> = {},
  ): Promise<HttpAnswer> {
    return this.call('POST', path, query, body, headers);
  }

  call(
    method: string,
    path: string,
    query: Query,
    body?: Uint8Array | string,
    headers: Record<string, string> = {},
  ): Promise<HttpAnswer> {
    const url = new URL(path, this.base);
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(name, String(one));
    }
    const { promise, resolve, reject } = withResolvers<HttpAnswer>();
    const isSized = body !== undefined && !('transfer-encoding' in headers);
    const length: Record<string, string> = isSized
      ? { 'content-length': String(Buffer.byteLength(body)) }
      : {};
    const call = request(url, { method, agent: this.#agent, headers: { ...length, ...headers } });
    call.on('error', reject);
    call.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          contentType: response.headers['content-type'] ?? '',
          text: Buffer.concat(chunks).toString(),
        });
      });
    });
    call.end(body);
    return promise;
  }

  close(): void {
    this.#agent.destroy();
  }
}

function withResolvers<Value>(): {
  promise: Promise<Value>;
  resolve: (value: Value) => void;
  reject: (error: Error) => void;
} {
  let resolve: (value: Value) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<Value>((ok, fail) => {
    resolve = ok;
    reject = fail;
  });
  return { promise, resolve, reject };
}
