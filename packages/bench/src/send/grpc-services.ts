import { fileURLToPath } from 'node:url';

import {
  type ChannelCredentials,
  type ChannelOptions,
  Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

/** Where the protos are. */
export const PROTO_DIR = fileURLToPath(new URL('../../../../protos', import.meta.url));

/** A unary call. */
export type Call<Reply> = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline: number },
  done: (error: ServiceError | null, reply?: Reply) => void,
) => void;

type ServiceOf<Calls> = new (
  address: string,
  channel: ChannelCredentials,
  options: ChannelOptions,
) => Client & Calls;

/** What the bench calls. */
export interface BenchServices {
  readonly PushService: ServiceOf<{ Push: Call<unknown> }>;
  readonly ScheduleService: ServiceOf<{ Cancel: Call<unknown> }>;
  readonly Comet: ServiceOf<{ PushMsg: Call<unknown>; BroadcastRoom: Call<unknown> }>;
}

let loaded: BenchServices | undefined;

/** The calls of `halley.push.v1` and of goim's comet. Their protos alone say how: none of the server's code is used. */
export function benchServices(): BenchServices {
  if (loaded) return loaded;
  const found = loadPackageDefinition(
    loadSync(['halley/push/v1/push.proto', 'halley/push/v1/schedule.proto', 'goim/comet.proto'], {
      keepCase: true,
      longs: String,
      enums: String,
      defaults: true,
      oneofs: true,
      includeDirs: [PROTO_DIR],
    }),
  ) as unknown as {
    readonly halley: { readonly push: { readonly v1: Omit<BenchServices, 'Comet'> } };
    readonly goim: { readonly comet: Pick<BenchServices, 'Comet'> };
  };
  const { PushService, ScheduleService } = found.halley.push.v1;
  loaded = { PushService, ScheduleService, Comet: found.goim.comet.Comet };
  return loaded;
}

const CHANNEL: ChannelOptions = {
  'grpc.enable_retries': 0,
  'grpc.max_receive_message_length': -1,
  // Else all clients of an address in this process would share one connection.
  'grpc.use_local_subchannel_pool': 1,
};

/** A client of one address, without TLS, on a connection of its own. */
export function clientOf<Calls>(
  Service: ServiceOf<Calls>,
  address: string,
  channel: ChannelOptions = {},
): Client & Calls {
  return new Service(address, credentials.createInsecure(), { ...CHANNEL, ...channel });
}

/** The same for any call: its messages are bytes that are ready. */
export function plainClientOf(address: string): Client {
  return new Client(address, credentials.createInsecure(), CHANNEL);
}

/** Why a call failed, in the same words each time: grpc-js writes the time, and a note, behind them. */
export function reasonOf({ details }: ServiceError): string {
  return details.replace(/ \(\d{4}-[\dT:.-]+Z\)/g, '').replace(/\. Resolution note: *$/, '');
}

/** The API key as logic takes it. */
export function keyMetadata(apiKey: string | undefined): Metadata {
  const metadata = new Metadata();
  if (apiKey !== undefined) metadata.set('authorization', `Bearer ${apiKey}`);
  return metadata;
}
