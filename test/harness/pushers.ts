import { credentials, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';

import type { PushRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { PushStreamReply__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushStreamReply';
import type { PushStreamRequest } from '@halley/cluster/grpc/gen/halley/push/v1/PushStreamRequest';
import type { Target } from '@halley/cluster/grpc/gen/halley/push/v1/Target';
import { protos } from '@halley/cluster/grpc/protos';

import { unary } from './grpc.js';
import { HttpApi, type Query } from './http.js';
import type { Room } from './unique.js';

/** Where a push goes. */
export type Destination =
  | { readonly mid: bigint }
  | { readonly mids: readonly bigint[] }
  | { readonly key: string }
  | { readonly room: Room };

/** What became of a push, as its caller knows it: why it was not taken, or not known to be, in `why`. */
export type Answer =
  | { readonly outcome: 'ok' }
  | { readonly outcome: 'refused' | 'unknown'; readonly why: string };

/** Pushes as a business service does. */
export interface Pusher {
  push(to: Destination, op: number, body: string): Promise<Answer>;
  close(): void;
}

const OK: Answer = { outcome: 'ok' };

/** A client of logic's business API at one address, or taking turns among several. */
export function pushClient(
  ...addresses: readonly string[]
): InstanceType<typeof protos.halley.push.v1.PushService> {
  return new protos.halley.push.v1.PushService(`ipv4:${addresses.join(',')}`, credentials.createInsecure(), {
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
  });
}

/**
 * goim's HTTP API, one call after the other on a connection that is kept. Where none can be made nothing was asked for:
 * as a proxy does, the next address is taken.
 */
export class HttpPusher implements Pusher {
  readonly #apis: HttpApi[];

  constructor(bases: readonly string[]) {
    this.#apis = bases.map((base) => new HttpApi(base));
  }

  async push(to: Destination, op: number, body: string): Promise<Answer> {
    for (let tries = 0; tries < this.#apis.length; tries += 1) {
      const [api] = this.#apis;
      if (!api) break;
      try {
        const [path, query] = queryOf(to);
        const { status, text } = await api.post(path, { operation: op, ...query }, body);
        return status === 200 && (JSON.parse(text) as { code: number }).code === 0
          ? OK
          : { outcome: 'unknown', why: `${status} ${text}` };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).syscall !== 'connect')
          return { outcome: 'unknown', why: String(error) };
        this.#apis.push(...this.#apis.splice(0, 1));
      }
    }
    return { outcome: 'refused', why: 'no logic takes connections' };
  }

  close(): void {
    for (const api of this.#apis) api.close();
  }
}

/** PushService.Push, at the logics in turn. */
export class GrpcPusher implements Pusher {
  readonly #client;

  constructor(addresses: readonly string[]) {
    this.#client = pushClient(...addresses);
  }

  async push(to: Destination, op: number, body: string): Promise<Answer> {
    try {
      await unary(this.#client.Push.bind(this.#client), requestOf(to, op, body));
      return OK;
    } catch (error) {
      const { metadata, message } = error as ServiceError;
      const refused = metadata?.get('halley-outcome')[0] === 'refused';
      return { outcome: refused ? 'refused' : 'unknown', why: message };
    }
  }

  close(): void {
    this.#client.close();
  }
}

/** One PushStream: pushes are written as they come, without waiting for answers. */
export class StreamPusher implements Pusher {
  readonly #client;
  readonly #call: ClientDuplexStream<PushStreamRequest, PushStreamReply__Output>;
  readonly #waiting = new Map<string, (answer: Answer) => void>();
  #seq = 0;
  #ended = '';

  constructor(address: string) {
    this.#client = pushClient(address);
    this.#call = this.#client.PushStream();
    this.#call.on('data', ({ seq, result }: PushStreamReply__Output) => {
      const answer: Answer =
        result?.outcome === 'OUTCOME_OK'
          ? OK
          : {
              outcome: result?.outcome === 'OUTCOME_REFUSED' ? 'refused' : 'unknown',
              why: `${result?.code} ${result?.message}`,
            };
      this.#waiting.get(seq)?.(answer);
      this.#waiting.delete(seq);
    });
    this.#call.on('error', () => undefined);
    this.#call.on('status', ({ code, details }) => {
      this.#ended = `the stream ended with ${code} ${details}`;
      for (const tell of this.#waiting.values()) tell({ outcome: 'unknown', why: this.#ended });
      this.#waiting.clear();
    });
  }

  push(to: Destination, op: number, body: string): Promise<Answer> {
    if (this.#ended) return Promise.resolve({ outcome: 'refused', why: this.#ended });
    this.#seq += 1;
    const seq = String(this.#seq);
    return new Promise((resolve) => {
      this.#waiting.set(seq, resolve);
      this.#call.write({ seq, push: requestOf(to, op, body) });
    });
  }

  close(): void {
    this.#call.end();
    this.#client.close();
  }
}

function queryOf(to: Destination): [path: string, query: Query] {
  if ('mid' in to) return ['/goim/push/mids', { mids: to.mid }];
  if ('mids' in to) return ['/goim/push/mids', { mids: to.mids }];
  if ('key' in to) return ['/goim/push/keys', { keys: to.key }];
  return ['/goim/push/room', { type: to.room.type, room: to.room.room }];
}

function requestOf(to: Destination, operation: number, body: string): PushRequest {
  return { target: targetOf(to), operation, body: Buffer.from(body) };
}

function targetOf(to: Destination): Target {
  if ('mid' in to) return { users: { mids: [to.mid.toString()] } };
  if ('mids' in to) return { users: { mids: to.mids.map(String) } };
  if ('key' in to) return { keys: { keys: [to.key] } };
  return { room: to.room.id };
}
