import { randomBytes } from 'node:crypto';
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';

import { decodeMessage } from '@halley/protocol/decoder';
import { encodeFrame, type Frame } from '@halley/protocol/frame';
import { encodeFrameV2, isFrameV2 } from '@halley/protocol/frame-v2';

import { TestClient } from './test-client.js';

const PUSH_LIMITS = { maxBodyBytes: 16 * 1024 * 1024, version2: true };

export interface HttpClientOptions {
  readonly id?: string;
  /** More headers of every request. */
  readonly headers?: Record<string, string>;
  /** Opens nothing by itself: for tests that send each request. */
  readonly manual?: boolean;
}

/** What a request was answered with. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The code of a problem document. */
  readonly code: string | undefined;
}

/** A client over SSE or long poll, which sends by POST. */
export class HttpClient extends TestClient {
  readonly id: string;
  /** The answer to the opening request, of SSE once its header has come; and comments that came. */
  readonly opened: Promise<HttpAnswer>;
  comments = 0;
  readonly #agent = new Agent({ keepAlive: true });
  #answered: (answer: HttpAnswer) => void = () => undefined;
  #sends: Promise<unknown> = Promise.resolve();
  #number = 0;
  #stopped = false;
  /** Cuts off the SSE response. */
  cutOff: () => void = () => undefined;

  constructor(
    private readonly port: number,
    kind: 'sse' | 'poll',
    private readonly token: Buffer,
    private readonly options: HttpClientOptions,
  ) {
    super();
    this.id = options.id ?? randomBytes(16).toString('base64url');
    this.opened = new Promise((resolve) => {
      this.#answered = resolve;
    });
    if (options.manual) return;
    if (kind === 'sse') this.#stream();
    else void this.#pollOn();
  }

  send(...frames: Frame[]): void {
    const body = Buffer.concat(frames.map((one) => (isFrameV2(one) ? encodeFrameV2(one) : encodeFrame(one))));
    this.#sends = this.#sends.then(() => this.post(body)).catch(() => undefined);
  }

  /** Sends a body with the next number. */
  post(body: Uint8Array): Promise<HttpAnswer> {
    this.#number += 1;
    return this.ask('POST', `/send?n=${this.#number}`, { body });
  }

  close(): void {
    this.#stopped = true;
    this.#agent.destroy();
  }

  /** A request with the session's headers, which `headers` may change; an empty one is left out. */
  ask(
    method: string,
    path: string,
    { headers = {}, body }: { headers?: Record<string, string>; body?: Uint8Array } = {},
  ): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      this.#request(method, path, headers, reject)
        .on('response', (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => resolve(answerOf(response, Buffer.concat(chunks))));
        })
        .end(body);
    });
  }

  #request(method: string, path: string, headers: Record<string, string>, failed: (error: Error) => void) {
    const all: Record<string, string> = {
      'halley-session': this.id,
      authorization: `Bearer ${this.token.toString('base64url')}`,
      ...this.options.headers,
      ...headers,
    };
    for (const [name, value] of Object.entries(all)) if (value === '') delete all[name];
    const options = { host: '127.0.0.1', port: this.port, agent: this.#agent, method, path, headers: all };
    return request(options).on('error', failed);
  }

  #stream(): void {
    const failed = (error: Error): void => this.over(0, error.message);
    const opening = this.#request('GET', '/sse', {}, failed).on('response', (response) => {
      this.cutOff = () => response.destroy();
      this.#answered(answerOf(response, Buffer.alloc(0)));
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1');
        const events = text.split('\n\n');
        text = events.pop() ?? '';
        for (const event of events) this.#onEvent(event);
      });
      response.on('error', failed);
      response.on('close', () => this.over(0, 'closed'));
    });
    opening.end();
  }

  #onEvent(event: string): void {
    const [first = '', second = ''] = event.split('\n');
    if (first.startsWith(':')) {
      this.comments += 1;
    } else if (first === 'event: close') {
      const { code, reason } = JSON.parse(second.slice('data: '.length)) as { code: number; reason: string };
      this.over(code, reason);
    } else {
      this.#onBytes(Buffer.from(first.slice('data: '.length), 'base64'));
    }
  }

  async #pollOn(): Promise<void> {
    for (let after = 0; !this.#stopped;) {
      const answer = await this.ask('GET', `/poll?after=${after}`).catch((error: Error) => {
        this.over(0, error.message);
      });
      if (!answer) return;
      this.#answered(answer);
      if (answer.status === 204) continue;
      if (answer.status !== 200) return this.over(0, answer.code ?? '');
      after = Number(answer.headers['halley-response']);
      this.#onBytes(answer.body);
      const { 'halley-close': code, 'halley-close-reason': reason } = answer.headers;
      if (code !== undefined) return this.over(Number(code), decodeURIComponent(String(reason)));
    }
  }

  #onBytes(bytes: Buffer): void {
    this.receivedBytes += bytes.length;
    if (bytes.length > 0) this.took(decodeMessage(bytes, PUSH_LIMITS));
  }
}

function answerOf({ statusCode = 0, headers }: IncomingMessage, body: Buffer): HttpAnswer {
  const isProblem = headers['content-type'] === 'application/problem+json';
  const code =
    isProblem && body.length > 0 ? (JSON.parse(body.toString()) as { code: string }).code : undefined;
  return { status: statusCode, headers, body, code };
}
