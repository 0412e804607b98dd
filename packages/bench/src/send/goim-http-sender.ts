import { HttpPool } from './http-pool.js';
import { type Outgoing, sameForAll, type Sender, type SendReply } from './sender.js';

export interface HttpSenderOptions {
  /** Of logics, as `127.0.0.1:3111`. */
  readonly addresses: readonly string[];
  readonly operation: number;
  readonly timeoutMs: number;
  readonly apiKey?: string;
}

/** goim's HTTP API of logic: a push a request. */
export class GoimHttpSender implements Sender {
  readonly name: string;
  readonly maxBatch = 1;
  readonly #pool: HttpPool;
  readonly #operation: number;

  constructor({ addresses, operation, timeoutMs, apiKey }: HttpSenderOptions) {
    this.name = `goim's HTTP API at ${addresses.join(', ')}`;
    this.#operation = operation;
    this.#pool = new HttpPool({
      addresses,
      timeoutMs,
      headers: apiKey === undefined ? {} : { 'x-api-key': apiKey },
    });
  }

  async send(batch: readonly Outgoing[]): Promise<SendReply> {
    const [push] = batch;
    if (!push) return { outcomes: [], why: '' };
    try {
      const { status, body } = await this.#pool.post(this.#path(push), 'application/octet-stream', push.body);
      if (status === 200 && /"code": *0\b/.test(body)) return sameForAll(batch, 'ok', '');
      const isRefused = status >= 400 && status < 500;
      return sameForAll(batch, isRefused ? 'refused' : 'unknown', `${status} ${body.slice(0, 200)}`);
    } catch (error) {
      return sameForAll(batch, 'unknown', (error as Error).message);
    }
  }

  close(): void {
    this.#pool.close();
  }

  #path({ target }: Outgoing): string {
    const operation = `operation=${this.#operation}`;
    if (target.kind === 'user') return `/goim/push/mids?${operation}&mids=${target.mid}`;
    const [type = '', room = ''] = target.room.split('://');
    return `/goim/push/room?${operation}&type=${encodeURIComponent(type)}&room=${encodeURIComponent(room)}`;
  }
}
