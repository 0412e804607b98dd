import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

import { Webhook } from 'standardwebhooks';

/** The body of a webhook. */
export interface Told {
  readonly id: string;
  readonly type: string;
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>> & { readonly mid: string };
}

/** One request that came. */
export interface Attempt extends Told {
  readonly taken: boolean;
}

/** How requests are answered: `hang` never is. */
export type Mood = 'take' | 'fail' | 'hang' | 'reset';

/** An endpoint of webhooks as a business has one; a request that is not signed as it must be is a breach. */
export class WebhookEndpoint {
  readonly breaches: string[] = [];
  readonly attempts: Attempt[] = [];
  mood: Mood = 'take';
  readonly #server: Server;
  /** By user, the events that are being answered; one whose sender gave up may come again meanwhile. */
  readonly #answering = new Map<string, string[]>();

  private constructor(
    readonly secret: string,
    private readonly answerMs: number,
  ) {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => this.#take(request.headers, Buffer.concat(chunks).toString(), response));
    });
  }

  static async start(answerMs = 2): Promise<WebhookEndpoint> {
    const endpoint = new WebhookEndpoint(`whsec_${Buffer.alloc(32, 5).toString('base64')}`, answerMs);
    await new Promise<void>((resolve) => endpoint.#server.listen(0, '127.0.0.1', resolve));
    return endpoint;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  /** What was taken, each once, in the order in which it first was. */
  get taken(): Told[] {
    return [...new Map(this.attempts.filter(({ taken }) => taken).map((told) => [told.id, told])).values()];
  }

  /** The same of one user. */
  takenOf(mid: bigint): Told[] {
    return this.taken.filter(({ data }) => data.mid === String(mid));
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #take(headers: IncomingHttpHeaders, body: string, response: ServerResponse): void {
    let told: Told;
    try {
      told = new Webhook(this.secret).verify(body, headers as Record<string, string>) as Told;
    } catch (error) {
      this.breaches.push(String(error));
      return void response.writeHead(401).end();
    }
    if (headers['webhook-id'] !== told.id)
      this.breaches.push(`${told.id} came as ${String(headers['webhook-id'])}`);
    const { mood } = this;
    this.attempts.push({ ...told, taken: mood === 'take' });
    if (mood === 'hang') return;
    if (mood === 'reset') return void response.destroy();
    // What clients say to the business comes from another topic, beside the rest.
    const whose = told.type === 'upstream' ? `${told.data.mid} upstream` : told.data.mid;
    const ids = this.#answering.get(whose) ?? [];
    this.#answering.set(whose, ids);
    const other = ids.find((id) => id !== told.id);
    if (other !== undefined) this.breaches.push(`${told.id} came beside ${other}`);
    ids.push(told.id);
    setTimeout(() => {
      ids.splice(ids.indexOf(told.id), 1);
      response.writeHead(mood === 'take' ? 204 : 500).end();
    }, this.answerMs);
  }
}
