import { HalleyError } from '@halley/protocol/error';

import { CometGrpcSender } from '../send/comet-grpc-sender.js';
import { GoimHttpSender } from '../send/goim-http-sender.js';
import { PushGrpcSender } from '../send/push-grpc-sender.js';
import type { Sender } from '../send/sender.js';
import { V1HttpSender } from '../send/v1-http-sender.js';
import type { BenchOptions } from './options.js';

/** Of PushBatch and of POST /v1/push/batch. */
const MAX_BATCH = 1_024;
const CALL_TIMEOUT_MS = 10_000;

/** The way for pushes that is asked for. Throws `invalid_argument` where the target has no address for it. */
export function openSender(options: BenchOptions): Sender {
  const { target, via, operation, apiKey } = options;
  const batch = Math.min(options.batch, MAX_BATCH);
  const rest = { operation, timeoutMs: CALL_TIMEOUT_MS, ...(apiKey === undefined ? {} : { apiKey }) };
  const some = (addresses: readonly string[]): readonly string[] => {
    if (addresses.length === 0)
      throw new HalleyError('invalid_argument', `${target.name} has no address for --via ${via}`);
    return addresses;
  };
  switch (via) {
    case 'goim':
      return new GoimHttpSender({ addresses: some(target.http), ...rest });
    case 'v1':
      return new V1HttpSender({ addresses: some(target.http), ...rest }, 1);
    case 'v1-batch':
      return new V1HttpSender({ addresses: some(target.http), ...rest }, batch);
    case 'push':
      return new PushGrpcSender({ addresses: some(target.grpc), ...rest, maxBatch: 1 });
    case 'batch':
      return new PushGrpcSender({ addresses: some(target.grpc), ...rest, maxBatch: batch });
    case 'comet':
      return new CometGrpcSender({ addresses: some(target.cometGrpc), ...rest, maxBatch: options.batch });
  }
}
