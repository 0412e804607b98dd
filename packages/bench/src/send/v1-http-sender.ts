import type { HttpSenderOptions } from './goim-http-sender.js';
import { HttpPool } from './http-pool.js';
import { type Outgoing, sameForAll, type Sender, type SendOutcome, type SendReply } from './sender.js';

/** Halley's HTTP API of logic: `POST /v1/push`, or `/v1/push/batch` for several. */
export class V1HttpSender implements Sender {
  readonly name: string;
  readonly #pool: HttpPool;
  readonly #operation: number;

  constructor(
    { addresses, operation, timeoutMs, apiKey }: HttpSenderOptions,
    readonly maxBatch: number,
  ) {
    this.name = `POST /v1/push${maxBatch > 1 ? '/batch' : ''} at ${addresses.join(', ')}`;
    this.#operation = operation;
    this.#pool = new HttpPool({
      addresses,
      timeoutMs,
      headers: apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` },
    });
  }

  async send(batch: readonly Outgoing[]): Promise<SendReply> {
    const requests = batch.map((push) => this.#request(push));
    const isBatch = this.maxBatch > 1;
    try {
      const { status, body } = await this.#pool.post(
        isBatch ? '/v1/push/batch' : '/v1/push',
        'application/json',
        Buffer.from(JSON.stringify(isBatch ? { requests } : requests[0])),
      );
      if (status !== 200) {
        const outcome = status < 500 || /"refused"/.test(body) ? 'refused' : 'unknown';
        return sameForAll(batch, outcome, `${status} ${body.slice(0, 200)}`);
      }
      return isBatch ? answers(body) : sameForAll(batch, 'ok', '');
    } catch (error) {
      return sameForAll(batch, 'unknown', (error as Error).message);
    }
  }

  close(): void {
    this.#pool.close();
  }

  #request({ target, body }: Outgoing): object {
    return {
      target: target.kind === 'user' ? { users: { mids: [String(target.mid)] } } : { room: target.room },
      operation: this.#operation,
      body_base64: body.toString('base64'),
    };
  }
}

function answers(text: string): SendReply {
  const { results } = JSON.parse(text) as {
    readonly results: readonly { readonly outcome: SendOutcome; readonly message?: string }[];
  };
  const bad = results.find(({ outcome }) => outcome !== 'ok');
  return { outcomes: results.map(({ outcome }) => outcome), why: bad?.message ?? '' };
}
