import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
  Metadata,
  ServerDuplexStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { newTrace, parseTrace } from '@halley/service/trace';

import { toServiceError } from './status.js';

/**
 * A handler of one unary method, as an async function. What it throws is answered as the status of its HalleyError
 * (`internal` when it is none) with the trailers `halley-code`, `halley-outcome` and `retry-after-ms`.
 */
export function unary<Request, Reply>(
  handle: (request: Request, call: ServerUnaryCall<Request, Reply>) => Promise<Reply>,
): handleUnaryCall<Request, Reply> {
  return (call, callback) => {
    Promise.resolve()
      .then(() => handle(call.request, call))
      .then(
        (reply) => callback(null, reply),
        (error: unknown) => callback(toServiceError(error)),
      );
  };
}

/** A handler that answers with a stream, which ends when the promise resolves, with the status of what it throws. */
export function serverStream<Request, Reply>(
  handle: (request: Request, call: ServerWritableStream<Request, Reply>) => Promise<void>,
): handleServerStreamingCall<Request, Reply> {
  return (call) => settle(call, () => handle(call.request, call));
}

/** A handler of a stream in both directions; the answer ends as {@link serverStream}'s does. */
export function bidiStream<Request, Reply>(
  handle: (call: ServerDuplexStream<Request, Reply>) => Promise<void>,
): handleBidiStreamingCall<Request, Reply> {
  return (call) => {
    // Leaving a `for await` over the requests would destroy the call, and no status could be sent any more.
    call[Symbol.asyncIterator] = () => call.iterator({ destroyOnReturn: false });
    settle(call, () => handle(call));
  };
}

/** Milliseconds until the caller's deadline; Infinity when it gave none, never negative. */
export function remainingMs(call: { getDeadline(): Date | number }): number {
  return Math.max(0, Number(call.getDeadline()) - Date.now());
}

/** Aborts when the caller gave up, by cancelling or by its deadline. */
export function cancelSignal(call: {
  readonly cancelled: boolean;
  once(event: 'cancelled', listener: () => void): unknown;
}): AbortSignal {
  const controller = new AbortController();
  if (call.cancelled) controller.abort();
  else call.once('cancelled', () => controller.abort());
  return controller.signal;
}

interface AnyCall {
  readonly metadata: Metadata;
}

/**
 * The W3C `traceparent` that the caller sent, or else a fresh one, another each time. It is asked for and handed on: to have it
 * current in all that a call awaits takes a hook on every promise of the process.
 */
export function traceOf({ metadata }: AnyCall): string {
  const sent = metadata.get('traceparent')[0];
  return parseTrace(typeof sent === 'string' ? sent : undefined) ?? newTrace();
}

type AnyHandler = (call: AnyCall, callback?: (error: unknown) => void) => void;

/** Handlers of which a throw costs the one call. */
export function guardHandlers(handlers: UntypedServiceImplementation): UntypedServiceImplementation {
  const guarded: Record<string, AnyHandler> = {};
  for (const name of Object.keys(handlers)) {
    const handle = handlers[name] as unknown as AnyHandler;
    guarded[name] = (call, callback) => {
      try {
        handle.call(handlers, call, callback);
      } catch (error) {
        if (callback) callback(toServiceError(error));
        else (call as ServerDuplexStream<unknown, unknown>).emit('error', toServiceError(error));
      }
    };
  }
  return guarded as unknown as UntypedServiceImplementation;
}

/** grpc-js sends the status of an error that the stream emits; destroying the stream would send none. */
interface Emitter {
  emit(event: 'error', error: Error): unknown;
}

function settle(call: Emitter & { end(): unknown }, run: () => Promise<void>): void {
  Promise.resolve()
    .then(run)
    .then(
      () => call.end(),
      (error: unknown) => fail(call, error),
    );
}

/** As grpc-js has it: a stream ends with the status of an error that is emitted, not of one that destroys it. */
function fail(call: Emitter, error: unknown): void {
  call.emit('error', toServiceError(error));
}
