import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { PushReply } from '@halley/cluster/grpc/gen/halley/push/v1/PushReply';
import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { PushResult } from '@halley/cluster/grpc/gen/halley/push/v1/PushResult';
import type { PushStreamReply } from '@halley/cluster/grpc/gen/halley/push/v1/PushStreamReply';
import type { PushStreamRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushStreamRequest';
import { HalleyError } from '@halley/protocol/error';

import { resultOf } from '../push/outcome.js';
import type { PushMessage } from '../push/target.js';
import { ReplyWriter, RequestReader } from './stream-io.js';

export interface PushStreamOptions {
  /** Throws what is wrong with a push. */
  readonly read: (request: PushRequest__Output | null) => PushMessage;
  /** Hands pushes to the bus in the order of the calls. */
  readonly accept: (push: PushMessage) => Promise<PushReply>;
  /** Pushes that may be unanswered at once; the stream is not read beyond. */
  readonly window: number;
  /** Their bodies together. */
  readonly windowBytes: number;
  /** The caller gave up. */
  readonly cancelled: AbortSignal;
  /** The node stops: what was read is answered, then the stream ends with `unavailable`. */
  readonly stopping: AbortSignal;
}

/** Takes the pushes of a stream as they come and answers each, in order. */
export async function pushStream(
  call: ServerDuplexStream<PushStreamRequest__Output, PushStreamReply>,
  options: PushStreamOptions,
): Promise<void> {
  const input = new RequestReader(call, AbortSignal.any([options.cancelled, options.stopping]));
  const output = new ReplyWriter(call, options.cancelled);
  const window = new Window(options.window, options.windowBytes);
  let answered: Promise<void> = Promise.resolve();
  for (let request = await input.read(); request; request = await input.read()) {
    const { seq, push } = request;
    const bytes = push?.body.length ?? 0;
    const result = answer(push, options);
    window.add(bytes);
    answered = Promise.all([result, answered]).then(async ([told]) => {
      await output.write({ seq, result: told });
      window.remove(bytes);
    });
    await window.room();
  }
  await answered;
  if (options.stopping.aborted && !options.cancelled.aborted) {
    throw new HalleyError(
      'unavailable',
      'This node stops. Pushes without an answer were not read: send them elsewhere.',
    );
  }
}

async function answer(
  request: PushRequest__Output | null,
  { read, accept }: PushStreamOptions,
): Promise<PushResult> {
  let id = request?.id ?? '';
  try {
    const push = read(request);
    ({ id } = push);
    return { ...resultOf(id, undefined), ...(await accept(push)) };
  } catch (error) {
    return resultOf(id, HalleyError.from(error));
  }
}

/** Counts what is unanswered. */
class Window {
  #count = 0;
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(
    private readonly maxCount: number,
    private readonly maxBytes: number,
  ) {}

  add(bytes: number): void {
    this.#count += 1;
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#count -= 1;
    this.#bytes -= bytes;
    if (this.#isOpen) this.#wake?.();
  }

  /** Resolves when one more may be read. */
  async room(): Promise<void> {
    while (!this.#isOpen) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  get #isOpen(): boolean {
    return this.#count < this.maxCount && this.#bytes < this.maxBytes;
  }
}
