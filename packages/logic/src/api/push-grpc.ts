import type { Metadata } from '@grpc/grpc-js';
import { callerOf } from '@halley/cluster/grpc/auth';
import { bidiStream, cancelSignal, remainingMs, traceOf, unary } from '@halley/cluster/grpc/handler';
import type { PushServiceHandlers } from '@halley/cluster/grpc/gen/halley/push/v1/PushService';
import type { TierView } from '@halley/cluster/registry/registry';
import type { Clock } from '@halley/service/clock';

import type { PushOrigin } from '../push/accept.js';
import { Lane } from '../push/lane.js';
import { listNodes } from './list-nodes.js';
import type { PushCalls } from './push-calls.js';
import { pushStream } from './push-stream.js';
import type { SessionCalls } from './session-calls.js';

export interface PushGrpcDeps {
  readonly pushes: PushCalls;
  readonly sessions: SessionCalls;
  /** The views of every tier. */
  readonly tiers: readonly TierView[];
  readonly clock: Clock;
  /** Pushes of one stream that may be on their way at once. */
  readonly streamWindow: number;
  /** Their bodies together, bytes. */
  readonly streamWindowBytes: number;
  /** Aborts when the node stops: streams finish what they have read, and end. */
  readonly stopping: AbortSignal;
}

/** halley.push.v1.PushService, the business API. */
export function pushGrpc(deps: PushGrpcDeps): PushServiceHandlers {
  const { pushes, sessions, clock } = deps;
  return {
    Push: unary(async (request, call) => pushes.push(request, originOf(call, call.getPeer(), clock))),
    PushBatch: unary(async ({ requests }, call) => ({
      results: await pushes.batch(requests, originOf(call, call.getPeer(), clock)),
    })),
    PushStream: bidiStream(async (call) => {
      // One lane for the stream, so that its order does not depend on others of the connection.
      const origin = originOf(call, new Lane(), clock);
      await pushStream(call, {
        read: (request) => pushes.read(request, 'push.', origin),
        accept: (push) => pushes.accept(push, origin),
        window: deps.streamWindow,
        windowBytes: deps.streamWindowBytes,
        cancelled: cancelSignal(call),
        stopping: deps.stopping,
      });
    }),
    GetPresence: unary(async ({ mids }) => ({ users: await sessions.presence(mids) })),
    ListNodes: unary(async ({ tier }) => ({ nodes: listNodes(deps.tiers, tier) })),
    Disconnect: unary(async (request) => ({ closed: await sessions.disconnect(request) })),
  };
}

interface AnyCall {
  readonly metadata: Metadata;
  getDeadline(): Date | number;
}

function originOf(call: AnyCall, lane: PushOrigin['lane'], clock: Clock): PushOrigin {
  const leftMs = remainingMs(call);
  return {
    lane,
    caller: callerOf(call)?.name ?? '',
    traceparent: traceOf(call),
    deadlineMs: Number.isFinite(leftMs) ? clock.monotonicMs() + leftMs : undefined,
  };
}
