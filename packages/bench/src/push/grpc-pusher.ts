import { fileURLToPath } from 'node:url';

import {
  type ChannelOptions,
  type ChannelCredentials,
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

import { type Answer, OK, type Push, type Pusher, type Target } from './pusher.js';

const PROTO_DIR = fileURLToPath(new URL('../../../../protos', import.meta.url));

/** The one call of `halley.push.v1.PushService` that is made. */
interface PushServiceClient extends Client {
  Push(
    request: object,
    metadata: Metadata,
    options: { readonly deadline: number },
    done: (error: ServiceError | null) => void,
  ): void;
}

interface Protos {
  readonly halley: {
    readonly push: {
      readonly v1: {
        readonly PushService: new (
          address: string,
          channel: ChannelCredentials,
          options: ChannelOptions,
        ) => PushServiceClient;
      };
    };
  };
}

let loaded: Protos | undefined;

/** PushService.Push at one logic, `host:port`. The proto alone says how: none of the server's code is used. */
export class GrpcPusher implements Pusher {
  readonly name: string;
  readonly takesIds = true;
  readonly #client: PushServiceClient;
  readonly #metadata = new Metadata();

  constructor(address: string, apiKey?: string) {
    this.name = `grpc ${address}`;
    if (apiKey !== undefined) this.#metadata.set('authorization', `Bearer ${apiKey}`);
    const { PushService } = protos().halley.push.v1;
    this.#client = new PushService(address, credentials.createInsecure(), {
      'grpc.enable_retries': 0,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1_000,
    });
  }

  push({ target, operation, body, id }: Push, timeoutMs: number): Promise<Answer> {
    const request = { target: targetOf(target), operation, body: Buffer.from(body), id };
    return new Promise((resolve) => {
      this.#client.Push(request, this.#metadata, { deadline: Date.now() + timeoutMs }, (error) =>
        resolve(error ? answerOf(error) : OK),
      );
    });
  }

  close(): void {
    this.#client.close();
  }
}

function protos(): Protos {
  loaded ??= loadPackageDefinition(
    loadSync('halley/push/v1/push.proto', {
      keepCase: true,
      longs: String,
      enums: String,
      defaults: true,
      oneofs: true,
      includeDirs: [PROTO_DIR],
    }),
  ) as unknown as Protos;
  return loaded;
}

/** docs/business-api.md: without the trailer it is unknown; without a connection nothing was sent. */
function answerOf({ metadata, message }: ServiceError): Answer {
  const [outcome] = metadata.get('halley-outcome');
  if (outcome === 'refused') return { outcome: 'refused', why: message };
  const isUnreached = outcome === undefined && /No connection established|ECONNREFUSED/.test(message);
  return { outcome: isUnreached ? 'unreached' : 'unknown', why: message };
}

function targetOf(target: Target): object {
  if ('mid' in target) return { users: { mids: [target.mid.toString()] } };
  if ('room' in target) return { room: `${target.room.type}://${target.room.room}` };
  return { everyone: { speed: 0 } };
}
