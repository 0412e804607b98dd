import { randomBytes } from 'node:crypto';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';

import { FrameDecoder } from '@halley/protocol/decoder';
import { encodeFrame, type Frame } from '@halley/protocol/frame';
import { encodeFrameV2, isFrameV2 } from '@halley/protocol/frame-v2';
import { Operation } from '@halley/protocol/operation';

import type { Closed } from './goim-client.js';

/** What a wire over HTTP tells: whole frames as bytes, and the end. */
export interface HttpWireEvents {
  onBytes(bytes: Buffer): void;
  onBreach(what: string): void;
  onClosed(closed: Closed): void;
}

/**
 * A client's connection over SSE or long poll and POST, for tests that speak in frames: the first frame must be operation 7,
 * which opens the session and is not sent itself; what comes later is posted, a POST each. The answer to it is handed out
 * with the seq of that frame, as if it had been sent.
 */
export class HttpWire {
  readonly #session = randomBytes(16).toString('base64url');
  readonly #agent = new Agent({ keepAlive: true, keepAliveMsecs: 10_000 });
  readonly #base: URL;
  #auth: Frame | undefined;
  #isAnswered = false;
  #sends: Promise<void> = Promise.resolve();
  #number = 0;
  #isClosed = false;
  #isPaused = false;
  #goOn: () => void = () => undefined;
  #stream: IncomingMessage | undefined;

  /** `url` is the WebSocket address of the same port. */
  constructor(
    private readonly transport: 'sse' | 'poll',
    url: string,
    private readonly events: HttpWireEvents,
  ) {
    this.#base = new URL(url.replace(/^ws/, 'http'));
  }

  send(bytes: Uint8Array): void {
    let rest = bytes;
    if (!this.#auth) {
      const { frame, behind } = firstFrame(bytes);
      if (frame.op !== Operation.Auth) throw new Error(`a session over HTTP begins with 7, not ${frame.op}`);
      this.#auth = frame;
      rest = behind;
      if (this.transport === 'sse') this.#open();
      else void this.#poll();
    }
    if (rest.length > 0) this.#sends = this.#sends.then(() => this.#post(Buffer.from(rest)));
  }

  /** Ends the session as a client does, behind what was sent. */
  endSide(): void {
    this.#sends = this.#sends.then(async () => void (await this.#ask('DELETE', '/session')));
  }

  pause(): void {
    this.#isPaused = true;
    this.#stream?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#stream?.resume();
    this.#goOn();
  }

  /** Over SSE cuts it off; a session over long poll has nothing to be cut off, and is ended. */
  close(): void {
    if (this.#isClosed) return;
    this.#ended(undefined, '');
    this.#stream?.destroy();
    if (this.transport === 'poll' && this.#auth) {
      void this.#ask('DELETE', '/session').finally(() => this.#agent.destroy());
    } else {
      this.#agent.destroy();
    }
  }

  async #post(body: Buffer): Promise<void> {
    if (this.#isClosed) return;
    this.#number += 1;
    const answer = await this.#ask('POST', `/send?n=${this.#number}`, body);
    if (answer && answer.status !== 204 && answer.status !== 404)
      this.events.onBreach(`a POST was answered with ${answer.status} ${String(answer.body)}`);
  }

  #open(): void {
    this.#request('GET', '/sse')
      .end()
      .on('response', (response) => {
        if (response.statusCode !== 200) this.events.onBreach(`status ${response.statusCode}`);
        this.#stream = response;
        if (this.#isPaused) response.pause();
        let text = '';
        response.setEncoding('latin1').on('data', (chunk: string) => {
          text += chunk;
          for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
            this.#onEvent(text.slice(0, end));
            text = text.slice(end + 2);
          }
        });
        response.on('error', () => undefined);
        response.on('close', () => this.#ended(undefined, ''));
      });
  }

  #onEvent(event: string): void {
    if (event.startsWith(':')) return;
    const fields = new Map(
      event.split('\n').map((line): [string, string] => {
        const colon = line.indexOf(': ');
        return [line.slice(0, colon), line.slice(colon + 2)];
      }),
    );
    const data = fields.get('data') ?? '';
    if (!fields.has('event')) return this.#onBytes(Buffer.from(data, 'base64'));
    const { code, reason } = JSON.parse(data) as { code: number; reason: string };
    this.#ended(code, reason);
  }

  async #poll(): Promise<void> {
    for (let after = 0; !this.#isClosed;) {
      if (this.#isPaused) await new Promise<void>((resolve) => (this.#goOn = resolve));
      const answer = await this.#ask('GET', `/poll?after=${after}`);
      if (!answer || answer.status === 404) return this.#ended(undefined, '');
      if (answer.status === 204) continue;
      const {
        'halley-response': number,
        'halley-close': code,
        'halley-close-reason': reason,
      } = answer.headers;
      if (answer.status !== 200 || Number(number) !== after + 1)
        return this.events.onBreach(`a poll was answered with ${answer.status} ${String(number)}`);
      after += 1;
      this.#onBytes(answer.body);
      if (code !== undefined) return this.#ended(Number(code), decodeURIComponent(String(reason)));
    }
  }

  #onBytes(bytes: Buffer): void {
    if (this.#isClosed || bytes.length === 0) return;
    if (this.#isAnswered) return this.events.onBytes(bytes);
    this.#isAnswered = true;
    const { frame, behind } = firstFrame(bytes);
    if (!this.#auth || frame.op !== Operation.AuthReply) return this.events.onBytes(bytes);
    if (frame.seq !== 1) this.events.onBreach(`the seq of 8 is ${frame.seq}`);
    const answer = { ...frame, seq: this.#auth.seq };
    const encoded = isFrameV2(answer) ? encodeFrameV2(answer) : encodeFrame(answer);
    this.events.onBytes(Buffer.concat([encoded, behind]));
  }

  #ended(code: number | undefined, reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#goOn();
    this.events.onClosed({ code, reason });
  }

  #ask(method: string, path: string, body?: Buffer): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const asked = this.#request(method, path).on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', () => resolve(undefined));
        response.on('end', () => {
          const { statusCode: status = 0, headers } = response;
          resolve({ status, headers, body: Buffer.concat(chunks) });
        });
      });
      asked.on('close', () => resolve(undefined));
      asked.end(body);
    });
  }

  #request(method: string, path: string): ClientRequest {
    const { hostname, port } = this.#base;
    const headers = {
      'halley-session': this.#session,
      authorization: `Bearer ${Buffer.from(this.#auth?.body ?? '').toString('base64url')}`,
    };
    // What breaks is an end too; `close` follows.
    return request({ host: hostname, port, agent: this.#agent, method, path, headers }).on('error', () => {
      if (path === '/sse') this.#ended(undefined, '');
    });
  }
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

function firstFrame(bytes: Uint8Array): { frame: Frame; behind: Uint8Array } {
  const packLen = Buffer.from(bytes).readInt32BE(0);
  const [frame] = new FrameDecoder({ maxBodyBytes: 1_048_576, version2: true }).push(
    bytes.subarray(0, packLen),
  );
  if (!frame) throw new Error('no whole frame');
  return { frame, behind: bytes.subarray(packLen) };
}
