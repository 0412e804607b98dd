import type { ChannelOptions, Client, Metadata, ServiceError } from '@grpc/grpc-js';

import type { CancelAnswer } from '../check/log.js';
import { benchServices, type Call, clientOf, keyMetadata } from '../send/grpc-services.js';
import { type Answer, OK, type Push, type Pusher, type Target } from './pusher.js';

/** Nodes that were killed are found again soon. */
const CHANNEL: ChannelOptions = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
};

/** Pushes and cancels at one logic, `host:port`. */
export class GrpcPusher implements Pusher {
  readonly name: string;
  readonly takesIds = true;
  readonly #pushes: Client & { Push: Call<unknown> };
  readonly #schedules: Client & { Cancel: Call<unknown> };
  readonly #metadata: Metadata;

  constructor(address: string, apiKey?: string) {
    this.name = `grpc ${address}`;
    this.#metadata = keyMetadata(apiKey);
    const { PushService, ScheduleService } = benchServices();
    this.#pushes = clientOf(PushService, address, CHANNEL);
    this.#schedules = clientOf(ScheduleService, address, CHANNEL);
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
