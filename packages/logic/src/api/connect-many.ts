import type { ServerWritableStream } from '@grpc/grpc-js';
import type { ConnectManyReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectManyReply';
import type { ConnectManyRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectManyRequest';
import type { ConnectOutcome } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectOutcome';
import type { ConnectReply } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectReply';
import type { ConnectRequest__Output } from '@halley/cluster/grpc/gen/halley/delivery/v1/ConnectRequest';
import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';

import { invalid } from '../push/target.js';

/** Connects of one call. */
const MAX_CONNECTS = 256;

/**
 * Lets the connections of one call in, each for itself: what is known in one turn of the loop leaves in one message, so that none
 * waits for another. Throws `invalid_argument` for too many.
 */
export async function connectMany(
  call: Pick<ServerWritableStream<ConnectManyRequest__Output, ConnectManyReply>, 'request' | 'write'>,
  connect: (request: ConnectRequest__Output) => Promise<ConnectReply>,
  log: Logger,
): Promise<void> {
  const { connects } = call.request;
  if (connects.length > MAX_CONNECTS) throw invalid('connects', `more than ${MAX_CONNECTS}`);
  let known: ConnectOutcome[] = [];
  const tell = (): void => {
    if (known.length > 0) call.write({ outcomes: known });
    known = [];
  };
  const add = (outcome: ConnectOutcome): void => {
    if (known.length === 0) setImmediate(tell);
    known.push(outcome);
  };
  await Promise.all(
    connects.map((request, index) =>
      connect(request).then(
        (connected) => add({ index, connected }),
        (thrown: unknown) => add({ index, error: toldOf(HalleyError.from(thrown), log) }),
      ),
    ),
  );
  tell();
}

function toldOf(error: HalleyError, log: Logger) {
  if (error.code === 'internal') log.error({ err: error.cause ?? error }, 'a connect failed');
  const { code, message, retryAfterMs = 0 } = error;
  return { code, message, retry_after_ms: Math.ceil(retryAfterMs) };
}
