import type { Client, Metadata, ServiceError } from '@grpc/grpc-js';

import { keyMetadata, plainClientOf, reasonOf } from './grpc-services.js';
import { OUTCOME, type PushMessages, pushMessages, type PushResult } from './push-messages.js';
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

const SERVICE = '/halley.push.v1.PushService';
const asTheyAre = (bytes: Buffer): Buffer => bytes;

/** `halley.push.v1` of logic: Push, or PushBatch. */
export class PushGrpcSender implements Sender {
  readonly name: string;
  readonly maxBatch: number;
  readonly #clients: readonly Client[];
  readonly #metadata: Metadata;
  readonly #messages: PushMessages;
  #turn = 0;

  constructor(private readonly options: PushGrpcOptions) {
    const { addresses, operation, maxBatch, apiKey } = options;
    this.name = `${maxBatch > 1 ? 'PushBatch' : 'Push'} at ${addresses.join(', ')}`;
    this.maxBatch = maxBatch;
    this.#metadata = keyMetadata(apiKey);
    this.#messages = pushMessages(operation);
    this.#clients = addresses.map((address) => plainClientOf(address));
  }

  send(batch: readonly Outgoing[]): Promise<SendReply> {
    const client = this.#clients[this.#turn++ % this.#clients.length];
    const [first] = batch;
    if (!client || !first) return Promise.resolve({ outcomes: [], why: '' });
    const isBatch = this.maxBatch > 1;
    return new Promise((resolve) => {
      withoutStack(() =>
        client.makeUnaryRequest(
          `${SERVICE}/${isBatch ? 'PushBatch' : 'Push'}`,
          asTheyAre,
          asTheyAre,
          isBatch ? this.#messages.batch(batch) : this.#messages.push(first),
          this.#metadata,
          { deadline: Date.now() + this.options.timeoutMs },
          (error, reply) => {
            if (error) resolve(failed(batch, error));
            else if (isBatch && reply) resolve(answered(this.#messages.results(reply)));
            else resolve(sameForAll(batch, 'ok', ''));
          },
        ),
      );
    });
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

/** grpc-js notes the stack of each call, for its error: that takes longer than to encode it. */
function withoutStack(call: () => void): void {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    call();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function answered(results: readonly PushResult[]): SendReply {
  const outcomes = results.map(({ outcome }): SendOutcome => {
    if (outcome === OUTCOME.ok) return 'ok';
    return outcome === OUTCOME.refused ? 'refused' : 'unknown';
  });
  const bad = outcomes.findIndex((outcome) => outcome !== 'ok');
  return { outcomes, why: results[bad]?.message ?? '' };
}

function failed(batch: readonly Outgoing[], error: ServiceError): SendReply {
  const isRefused = error.metadata.get('halley-outcome')[0] === 'refused';
  return sameForAll(batch, isRefused ? 'refused' : 'unknown', reasonOf(error));
}
