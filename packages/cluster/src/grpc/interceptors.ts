import {
  InterceptingCall,
  type Interceptor,
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import type { Logger } from '@halley/service/log';
import { DURATION_BUCKETS, type Metrics } from '@halley/service/metrics';

import { errorBehind } from './status.js';

export interface ObserveDeps {
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Tells of each call to this server, by method, code and duration; never what was in it. */
export function observeServer(deps: ObserveDeps): ServerInterceptor {
  const record = recorder('server', deps);
  return (definition, call) => {
    const finish = record(definition.path);
    let trace: string | undefined;
    return new ServerInterceptingCall(call, {
      start: (next) =>
        next({
          onReceiveMetadata: (metadata, pass) => {
            const sent = metadata.get('traceparent')[0];
            trace = typeof sent === 'string' ? sent : undefined;
            pass(metadata);
          },
          onCancel: () => finish(status.CANCELLED, trace),
        }),
      sendStatus: (told, next) => {
        finish(told.code ?? status.UNKNOWN, trace, told.metadata);
        next(told);
      },
    });
  };
}

/** Counts the calls in progress of some services, so that a server can stop once they are done. */
export class CallsInProgress {
  #count = 0;
  #onNone: (() => void) | undefined;

  constructor(private readonly counts: (service: string) => boolean) {}

  readonly interceptor: ServerInterceptor = (definition, call) => {
    if (!this.counts(definition.path.split('/')[1] ?? '')) return new ServerInterceptingCall(call);
    this.#count += 1;
    let open = true;
    const end = (): void => {
      if (open) this.#end();
      open = false;
    };
    return new ServerInterceptingCall(call, {
      start: (next) => next({ onCancel: end }),
      sendStatus: (told, next) => {
        next(told);
        end();
      },
    });
  };

  /** Calls back once, when no call is in progress: now, or as soon as that is so. */
  whenNone(callback: () => void): void {
    if (this.#count === 0) callback();
    else this.#onNone = callback;
  }

  #end(): void {
    this.#count -= 1;
    if (this.#count > 0) return;
    this.#onNone?.();
    this.#onNone = undefined;
  }
}

export interface CallerDeps extends ObserveDeps {
  /** Deadline of unary calls that name none, in milliseconds. */
  readonly deadlineMs: number;
  /** Sent as `authorization: Bearer`, unless the call has one. */
  readonly token?: string | undefined;
}

/** Adds the token and a deadline to each call that has none, and tells of its end. */
export function observeClient(deps: CallerDeps): Interceptor {
  const record = recorder('client', deps);
  return (options, nextCall) => {
    const { path, requestStream, responseStream } = options.method_definition;
    const finish = record(path);
    const bounded = requestStream || responseStream || options.deadline !== undefined;
    const call = nextCall(bounded ? options : { ...options, deadline: Date.now() + deps.deadlineMs });
    return new InterceptingCall(call, {
      start: (metadata, _listener, next) => {
        if (deps.token) setAbsent(metadata, 'authorization', `Bearer ${deps.token}`);
        next(metadata, {
          onReceiveStatus: (told, pass) => {
            finish(told.code, undefined, told.metadata);
            pass(told);
          },
        });
      },
    });
  };
}

type Finish = (code: status, trace: string | undefined, trailers?: Metadata | null) => void;

function recorder(side: 'server' | 'client', { log, metrics }: ObserveDeps): (path: string) => Finish {
  const handled = metrics.counter(
    `halley_grpc_${side}_handled_total`,
    side === 'server' ? 'gRPC calls answered, by method and code.' : 'gRPC calls made, by method and code.',
    ['method', 'code'],
  );
  const duration = metrics.histogram(
    `halley_grpc_${side}_duration_seconds`,
    'Duration of gRPC calls; of a stream, until it ended.',
    DURATION_BUCKETS,
    ['method'],
  );
  return (path) => {
    const method = path.replace(/^\//, '');
    const startedMs = performance.now();
    let open = true;
    return (code, trace, trailers) => {
      if (!open) return;
      open = false;
      const durationMs = performance.now() - startedMs;
      const name = status[code] ?? String(code);
      handled.inc({ method, code: name });
      duration.observe({ method }, durationMs / 1_000);
      const fields = { method, code: name, durationMs: Math.round(durationMs * 10) / 10, trace };
      const error = errorBehind(trailers);
      if (side === 'server' && (code === status.INTERNAL || code === status.UNKNOWN)) {
        log.error({ ...fields, err: error?.cause ?? error }, 'a gRPC handler failed');
      } else {
        log.debug(error ? { ...fields, err: error } : fields, `gRPC ${side} call`);
      }
    };
  };
}

function setAbsent(metadata: Metadata, key: string, value: string): void {
  if (metadata.get(key).length === 0) metadata.set(key, value);
}
