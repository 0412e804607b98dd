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

import type { CancelAnswer } from '../check/log.js';
import { type Answer, OK, type Push, type Pusher, type Target } from './pusher.js';

const PROTO_DIR = fileURLToPath(new URL('../../../../protos', import.meta.url));

type Call = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: (error: ServiceError | null) => void,
) => void;

type ServiceOf<Calls> = new (
  address: string,
  channel: ChannelCredentials,
  options: ChannelOptions,
) => Client & Calls;

/** The calls of `halley.push.v1` that are made. */
interface Protos {
  readonly halley: {
    readonly push: {
      readonly v1: {
        readonly PushService: ServiceOf<{ Push: Call }>;
        readonly ScheduleService: ServiceOf<{ Cancel: Call }>;
      };
    };
  };
}

const CHANNEL: ChannelOptions = {
  'grpc.enable_retries': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
};

let loaded: Protos | undefined;

/** Pushes and cancels at one logic, `host:port`. The proto alone says how: none of the server's code is used. */
export class GrpcPusher implements Pusher {
  readonly name: string;
  readonly takesIds = true;
  readonly #pushes: Client & { Push: Call };
  readonly #schedules: Client & { Cancel: Call };
  readonly #metadata = new Metadata();

  constructor(address: string, apiKey?: string) {
    this.name = `grpc ${address}`;
    if (apiKey !== undefined) this.#metadata.set('authorization', `Bearer ${apiKey}`);
    const { PushService, ScheduleService } = protos().halley.push.v1;
    this.#pushes = new PushService(address, credentials.createInsecure(), CHANNEL);
    this.#schedules = new ScheduleService(address, credentials.createInsecure(), CHANNEL);
  }

  push({ target, operation, body, id, options }: Push, timeoutMs: number): Promise<Answer> {
    const request = { target: targetOf(target), operation, body: Buffer.from(body), id, ...options };
    return new Promise((resolve) => {
      this.#pushes.Push(request, this.#metadata, { deadline: Date.now() + timeoutMs }, (error) =>
        resolve(error ? answerOf(error) : OK),
      );
    });
  }

  cancel(id: string, timeoutMs: number): Promise<CancelAnswer> {
    return new Promise((resolve) => {
      this.#schedules.Cancel({ id }, this.#metadata, { deadline: Date.now() + timeoutMs }, (error) => {
        const isTooLate = error?.metadata.get('halley-code')[0] === 'too_late';
        resolve(!error ? 'cancelled' : isTooLate ? 'too_late' : 'unknown');
      });
    });
  }

  close(): void {
    this.#pushes.close();
    this.#schedules.close();
  }
}

function protos(): Protos {
  loaded ??= loadPackageDefinition(
    loadSync('halley/push/v1/schedule.proto', {
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
