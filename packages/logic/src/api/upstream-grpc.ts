import { bidiStream, cancelSignal } from '@halley/cluster/grpc/handler';
import type { UpstreamServiceHandlers } from '@halley/cluster/grpc/gen/halley/push/v1/UpstreamService';
import { HalleyError } from '@halley/protocol/error';
import type { Logger } from '@halley/service/log';
import type { Bus } from '@halley/store/bus/bus';

import type { LogicMetrics } from '../metrics.js';
import { invalid } from '../push/target.js';
import { UpstreamStream } from '../upstream/stream.js';
import { ReplyWriter, RequestReader } from './stream-io.js';

const DEFAULT_WINDOW = 256;
const MAX_WINDOW = 10_000;
/** Within this a stream that ended has left its group. */
const LEAVE_MS = 5_000;

export interface UpstreamGrpcDeps {
  readonly bus: Bus;
  readonly log: Logger;
  readonly metrics: LogicMetrics;
  /** Aborts when the node stops. */
  readonly stopping: AbortSignal;
}

/** halley.push.v1.UpstreamService: what clients send, for businesses without Kafka. */
export function upstreamGrpc({ bus, log, metrics, stopping }: UpstreamGrpcDeps): UpstreamServiceHandlers {
  return {
    Receive: bidiStream(async (call) => {
      const ended = AbortSignal.any([cancelSignal(call), stopping]);
      const requests = new RequestReader(call, ended);
      const output = new ReplyWriter(call, ended);
      // Partitions run beside each other; the stream takes one message at a time.
      let sent: Promise<void> = Promise.resolve();
      const first = await requests.read();
      if (!first) return;
      const stream = new UpstreamStream({
        bus,
        group: readGroup(first.group),
        window: readWindow(first.window),
        send: (message) => (sent = sent.then(() => output.write(message))),
        log,
        metrics,
      });
      try {
        await stream.start();
        for (let request = await requests.read(); request; request = await requests.read()) {
          stream.acknowledge(request.ack_ids);
        }
      } finally {
        await stream.stop(LEAVE_MS);
      }
      if (stopping.aborted) throw new HalleyError('unavailable', 'This node stops. Receive from another.');
    }),
  };
}

function readGroup(group: string): string {
  if (!/^[a-zA-Z0-9._-]{1,64}$/.test(group)) {
    throw invalid(
      'group',
      'the first request names it with 1 to 64 of letters, digits, dots, dashes, underscores',
    );
  }
  return group;
}

function readWindow(window: number): number {
  if (window < 0 || window > MAX_WINDOW) throw invalid('window', `0 to ${MAX_WINDOW}`);
  return window || DEFAULT_WINDOW;
}
