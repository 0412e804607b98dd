import type { Client, Metadata, ServiceError } from '@grpc/grpc-js';

import {
  benchServices,
  type Call,
  clientOf,
  keyMetadata,
  type PushBatchReply,
  reasonOf,
} from './grpc-services.js';
import { type Outgoing, sameForAll, type Sender, type SendOutcome, type SendReply } from './sender.js';

export interface PushGrpcOptions {
  /** Of logics, as `127.0.0.1:3119`; calls go to each in turn. */
  readonly addresses: readonly string[];
  readonly operation: number;
  readonly timeoutMs: number;
  readonly apiKey?: string;
  /** Pushes in one PushBatch, 1 to 1,024; 1: each by Push. */
  readonly maxBatch: number;
}

/** `halley.push.v1` of logic: Push, or PushBatch. */
export class PushGrpcSender implements Sender {
  readonly name: string;
  readonly maxBatch: number;
  readonly #clients: readonly (Client & { Push: Call<unknown>; PushBatch: Call<PushBatchReply> })[];
  readonly #metadata: Metadata;
  #turn = 0;

  constructor(private readonly options: PushGrpcOptions) {
    const { addresses, maxBatch, apiKey } = options;
    this.name = `${maxBatch > 1 ? 'PushBatch' : 'Push'} at ${addresses.join(', ')}`;
    this.maxBatch = maxBatch;
    this.#metadata = keyMetadata(apiKey);
    this.#clients = addresses.map((address) => clientOf(benchServices().PushService, address));
  }

  send(batch: readonly Outgoing[]): Promise<SendReply> {
    const client = this.#clients[this.#turn++ % this.#clients.length];
    const [first] = batch;
    if (!client || !first) return Promise.resolve({ outcomes: [], why: '' });
    const deadline = { deadline: Date.now() + this.options.timeoutMs };
    return new Promise((resolve) => {
      const done = (error: ServiceError | null, reply?: PushBatchReply): void =>
        resolve(error ? failed(batch, error) : answered(batch, reply));
      if (this.maxBatch > 1)
        client.PushBatch(
          { requests: batch.map((push) => this.#request(push)) },
          this.#metadata,
          deadline,
          done,
        );
      else client.Push(this.#request(first), this.#metadata, deadline, (error) => done(error));
    });
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  #request({ target, body }: Outgoing): object {
    return {
      target: target.kind === 'user' ? { users: { mids: [target.mid] } } : { room: target.room },
      operation: this.options.operation,
      body,
    };
  }
}

function answered(batch: readonly Outgoing[], reply: PushBatchReply | undefined): SendReply {
  if (!reply) return sameForAll(batch, 'ok', '');
  const outcomes = reply.results.map(({ outcome }): SendOutcome => {
    if (outcome === 'OUTCOME_OK') return 'ok';
    return outcome === 'OUTCOME_REFUSED' ? 'refused' : 'unknown';
  });
  const bad = outcomes.findIndex((outcome) => outcome !== 'ok');
  return { outcomes, why: reply.results[bad]?.message ?? '' };
}

function failed(batch: readonly Outgoing[], error: ServiceError): SendReply {
  const isRefused = error.metadata.get('halley-outcome')[0] === 'refused';
  return sameForAll(batch, isRefused ? 'refused' : 'unknown', reasonOf(error));
}
