import type { ServerDuplexStream } from '@grpc/grpc-js';

/** The requests of a gRPC stream, one at a time. They end when the signal aborts: the caller gave up, or the node stops. */
export class RequestReader<Request> {
  readonly #requests: AsyncIterator<Request>;
  /** Ends the read that waits. One listener for the whole stream, since each on a promise that stays would stay too. */
  #end: (() => void) | undefined;

  constructor(
    call: ServerDuplexStream<Request, unknown>,
    private readonly signal: AbortSignal,
  ) {
    // A caller that goes away is told by the signal.
    call.on('error', () => undefined);
    // The end of the requests is not the end of the answers.
    this.#requests = call.iterator({ destroyOnReturn: false }) as AsyncIterator<Request>;
    signal.addEventListener('abort', () => this.#end?.(), { once: true });
  }

  /** The next request; undefined when there are no more. */
  read(): Promise<Request | undefined> {
    if (this.signal.aborted) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#end = () => resolve(undefined);
      this.#requests.next().then(
        ({ done, value }) => resolve(done ? undefined : value),
        () => resolve(undefined),
      );
    });
  }
}

/** The answers of a gRPC stream, at the pace at which the caller reads. */
export class ReplyWriter<Reply> {
  #drained: (() => void) | undefined;

  constructor(
    private readonly call: ServerDuplexStream<unknown, Reply>,
    private readonly signal: AbortSignal,
  ) {
    const wake = (): void => this.#drained?.();
    call.on('drain', wake).on('close', wake);
    signal.addEventListener('abort', wake, { once: true });
  }

  /** Sends an answer; resolves when the next may be sent. Nothing is sent once the caller gave up. One at a time. */
  async write(reply: Reply): Promise<void> {
    if (this.signal.aborted || this.call.destroyed || this.call.cancelled) return;
    if (this.call.write(reply)) return;
    await new Promise<void>((resolve) => (this.#drained = resolve));
  }
}
