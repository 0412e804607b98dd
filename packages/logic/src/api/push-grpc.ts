import type { Metadata } from '@grpc/grpc-js';
import { callerOf } from '@halley/cluster/grpc/auth';
import { bidiStream, cancelSignal, remainingMs, unary } from '@halley/cluster/grpc/handler';
import type { DisconnectRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/DisconnectRequest';
import type { PushRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/PushRequest';
import type { PushResult } from '@halley/cluster/grpc/gen/halley/push/v1/PushResult';
import type { PushServiceHandlers } from '@halley/cluster/grpc/gen/halley/push/v1/PushService';
import type { TierView } from '@halley/cluster/registry/registry';
import { HalleyError } from '@halley/protocol/error';
import type { Clock } from '@halley/service/clock';
import { currentTrace } from '@halley/service/trace';
import type { Routes } from '@halley/store/routes/routes';

import type { PushAcceptor, PushOrigin } from '../push/accept.js';
import { Lane } from '../push/lane.js';
import { resultOf } from '../push/outcome.js';
import { readPush } from '../push/read-push.js';
import { invalid, type PushLimits, type PushMessage, readKeys, readUsers } from '../push/target.js';
import { disconnect, type DisconnectTarget } from '../session/disconnect.js';
import type { Kicker } from '../session/kick.js';
import { listNodes } from './list-nodes.js';
import { pushStream } from './push-stream.js';

/** Pushes of one batch. */
const MAX_BATCH = 1_024;
/** Users of one question. */
const MAX_PRESENCE = 1_000;
const MAX_REASON_LENGTH = 100;

export interface PushGrpcDeps {
  readonly acceptor: PushAcceptor;
  readonly limits: PushLimits;
  readonly routes: Routes;
  readonly kicker: Kicker;
  /** The views of every tier. */
  readonly tiers: readonly TierView[];
  readonly clock: Clock;
  /** Pushes of one stream that may be on their way at once. */
  readonly streamWindow: number;
  /** Aborts when the node stops: streams finish what they have read, and end. */
  readonly stopping: AbortSignal;
}

/** halley.push.v1.PushService, the business API. */
export function pushGrpc(deps: PushGrpcDeps): PushServiceHandlers {
  const { acceptor, limits, routes, kicker, clock } = deps;
  const read = (request: PushRequest__Output | null | undefined, prefix = ''): PushMessage =>
    readPush(request, limits, clock.now(), prefix);
  return {
    Push: unary(async (request, call) => {
      const push = read(request);
      await acceptor.accept(push, originOf(call, call.getPeer(), clock));
      return { id: push.id };
    }),
    PushBatch: unary(async ({ requests }, call) => {
      if (requests.length === 0) throw invalid('requests', 'is empty');
      if (requests.length > MAX_BATCH) {
        throw invalid('requests', `${requests.length} entries, more than ${MAX_BATCH}`);
      }
      const results: PushResult[] = [];
      const valid: PushMessage[] = [];
      const places: number[] = [];
      for (const [index, request] of requests.entries()) {
        try {
          valid.push(read(request, `requests[${index}].`));
          places.push(index);
        } catch (error) {
          results[index] = resultOf(request.id, HalleyError.from(error));
        }
      }
      const answers =
        valid.length > 0 ? await acceptor.acceptAll(valid, originOf(call, call.getPeer(), clock)) : [];
      for (const [at, push] of valid.entries()) results[places[at] ?? 0] = resultOf(push.id, answers[at]);
      return { results };
    }),
    PushStream: bidiStream(async (call) => {
      // One lane for the stream, so that its order does not depend on others of the connection.
      const origin = originOf(call, new Lane(), clock);
      await pushStream(call, {
        read: (request) => read(request, 'push.'),
        accept: (push) => acceptor.accept(push, origin),
        window: deps.streamWindow,
        windowBytes: 4 * limits.maxBodyBytes,
        cancelled: cancelSignal(call),
        stopping: deps.stopping,
      });
    }),
    GetPresence: unary(async ({ mids }) => {
      const users = readUsers(mids, MAX_PRESENCE, 'mids');
      const found = (await routes.find({ users: [...new Set(users)] })).users;
      return {
        users: users.map((mid) => ({
          mid,
          connections: (found.get(mid) ?? []).map(({ key, at, connectedAtMs }) => ({
            key,
            node: at.node,
            connected_at_ms: connectedAtMs,
          })),
        })),
      };
    }),
    ListNodes: unary(async ({ tier }) => ({ nodes: listNodes(deps.tiers, tier) })),
    Disconnect: unary(async (request) => ({
      closed: await disconnect(readDisconnect(request, limits), request.reason, { routes, kicker }),
    })),
  };
}

function readDisconnect(request: DisconnectRequest__Output, limits: PushLimits): DisconnectTarget {
  const { target, users, keys, reason } = request;
  if (reason.length > MAX_REASON_LENGTH) {
    throw invalid('reason', `${reason.length} characters, more than ${MAX_REASON_LENGTH}`);
  }
  if (target === 'users') {
    return { users: [...new Set(readUsers(users?.mids ?? [], limits.maxTargets, 'users.mids'))] };
  }
  if (target === 'keys') {
    return { keys: [...new Set(readKeys(keys?.keys ?? [], limits.maxTargets, 'keys.keys'))] };
  }
  throw invalid('target', 'exactly one of users and keys is to be set');
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
    traceparent: currentTrace() ?? '',
    deadlineMs: Number.isFinite(leftMs) ? clock.monotonicMs() + leftMs : undefined,
  };
}
