import {
  ChannelCredentials,
  type ChannelOptions,
  type Client,
  type ClientOptions,
  Metadata,
  type requestCallback,
  type ServiceError,
  type ClientUnaryCall,
} from '@grpc/grpc-js';
import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';
import type { Metrics } from '@halley/service/metrics';

import type { TierView } from '../registry/registry.js';
import { observeClient } from './interceptors.js';
import { tierChannel } from './resolver.js';
import { fromServiceError } from './status.js';

/** Largest message in bytes unless configured: batches of pushes of up to 1 MiB each. */
export const DEFAULT_MAX_MESSAGE_BYTES = 16 * 1_024 * 1_024;

/** Deadline of unary calls that name none, in milliseconds. */
export const DEFAULT_DEADLINE_MS = 3_000;

/** A generated client: `protos.halley.delivery.v1.SessionService`. */
export type ClientConstructor<Stub extends Client> = new (
  address: string,
  credentials: ChannelCredentials,
  options?: Partial<ClientOptions>,
) => Stub;

export interface ClientDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Default plain HTTP/2. Clients share a connection only when they share this object. */
  readonly credentials?: ChannelCredentials;
  /** The name that the servers' certificates must carry; empty or absent is the host that is called. */
  readonly serverName?: string;
  /** The cluster's token, or an API key. */
  readonly token?: string;
  /** Deadline of unary calls that name none, in milliseconds. Default 3,000. */
  readonly deadlineMs?: number;
  /** Default 16 MiB. */
  readonly maxMessageBytes?: number;
  /** `package.Service/Method`s that are not sent again when the connection is lost during the call. */
  readonly neverRetried?: readonly string[];
}

/** A client of the one server at `target`, `host:port`. Close it with `close()`. */
export function createClient<Stub extends Client>(
  Constructor: ClientConstructor<Stub>,
  options: ClientDeps & { readonly target: string },
): Stub {
  const { target, credentials = ChannelCredentials.createInsecure() } = options;
  return new Constructor(target, credentials, {
    ...channelOptions(options, 'pick_first'),
    interceptors: [observeClient({ ...options, deadlineMs: options.deadlineMs ?? DEFAULT_DEADLINE_MS })],
  });
}

export interface TierClientDeps extends ClientDeps {
  readonly tier: string;
  /** The registry's view of that tier. */
  readonly view: TierView;
  /** The registry's; a vanished node whose connection fails stays in use for two of them. */
  readonly sessionTimeoutMs: number;
}

/**
 * A client whose calls go round the nodes of a tier: new ones at once, draining ones only when no other is there, and
 * vanished ones while they still answer (see EndpointSet). Without a node, calls fail with `no_node` after a second of
 * retries. Close it with `close()`.
 */
export function tierClient<Stub extends Client>(
  Constructor: ClientConstructor<Stub>,
  options: TierClientDeps,
): Stub {
  const { tier, view, credentials = ChannelCredentials.createInsecure() } = options;
  const channel = tierChannel(
    { tier, view, credentials, holdMs: 2 * options.sessionTimeoutMs },
    channelOptions(options, 'round_robin'),
  );
  return new Constructor(channel.target, credentials, {
    ...channel.options,
    interceptors: [observeClient({ ...options, deadlineMs: options.deadlineMs ?? DEFAULT_DEADLINE_MS })],
  });
}

export interface CallOptions {
  /** Default: the client's. */
  readonly deadlineMs?: number;
  /** Cancels the call. */
  readonly signal?: AbortSignal;
  readonly metadata?: Metadata;
}

type BoundMethod<Request, Reply> = (request: Request, callback: requestCallback<Reply>) => ClientUnaryCall;
type FullMethod<Request, Reply> = (
  request: Request,
  metadata: Metadata,
  options: { deadline?: number },
  callback: requestCallback<Reply>,
) => ClientUnaryCall;

/**
 * One unary call: `call(client.Connect.bind(client), request)`. Rejects with the HalleyError that the server threw,
 * with `no_node`, or with `unavailable` when there was no answer and it is not known whether the call was carried out.
 */
export function call<Request, Reply>(
  method: BoundMethod<Request, Reply>,
  request: Request,
  { deadlineMs, signal, metadata = new Metadata() }: CallOptions = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new HalleyError('unavailable', 'The call was cancelled before it was made.'));
      return;
    }
    const cancel = (): void => running.cancel();
    const settle = (error: ServiceError | null, reply: Reply | undefined): void => {
      signal?.removeEventListener('abort', cancel);
      if (error) reject(fromServiceError(error));
      else resolve(reply as Reply);
    };
    const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
    const running = (method as unknown as FullMethod<Request, Reply>)(request, metadata, options, settle);
    signal?.addEventListener('abort', cancel);
  });
}

/** Retries are gRPC's own: a second and further attempt after UNAVAILABLE, held back when many fail. */
const RETRY_POLICY = {
  maxAttempts: 5,
  initialBackoff: '0.1s',
  maxBackoff: '1s',
  backoffMultiplier: 2,
  retryableStatusCodes: ['UNAVAILABLE'],
};

function channelOptions(deps: ClientDeps, balancer: 'pick_first' | 'round_robin'): ChannelOptions {
  const maxMessageBytes = deps.maxMessageBytes ?? DEFAULT_MAX_MESSAGE_BYTES;
  const never = (deps.neverRetried ?? []).map((path) => {
    const [service = '', method = ''] = path.split('/');
    return { service, method };
  });
  const serviceConfig = {
    loadBalancingConfig: [{ [balancer]: {} }],
    methodConfig: [{ name: [{}], retryPolicy: RETRY_POLICY }, ...(never.length > 0 ? [{ name: never }] : [])],
    retryThrottling: { maxTokens: 100, tokenRatio: 0.2 },
  };
  return {
    'grpc.service_config': JSON.stringify(serviceConfig),
    'grpc.service_config_disable_resolution': 1,
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
    'grpc.keepalive_permit_without_calls': 1,
    // A node that starts again is used again within a second.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 1_000,
    'grpc.max_send_message_length': maxMessageBytes,
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_channelz': 0,
    ...(deps.serverName ? { 'grpc.ssl_target_name_override': deps.serverName } : {}),
  };
}
