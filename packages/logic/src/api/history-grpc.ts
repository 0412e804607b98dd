import { unary } from '@halley/cluster/grpc/handler';
import type { HistoryServiceHandlers } from '@halley/cluster/grpc/gen/halley/push/v1/HistoryService';
import type { ReadHistoryRequest__Output } from '@halley/cluster/grpc/gen/halley/push/v1/ReadHistoryRequest';
import type { ArchivedEntry } from '@halley/store/archive/archive';

import { invalid } from '../push/target.js';
import type { HistoryAsk, HistoryReader } from '../streams/history.js';
import { readHistoryAsk, roomStream, userStream } from './history-ask.js';

export interface HistoryGrpcDeps {
  readonly history: HistoryReader;
  /** The bus's epoch now. */
  readonly epoch: () => string;
}

/** halley.push.v1.HistoryService: what was pushed to users and rooms. */
export function historyGrpc({ history, epoch }: HistoryGrpcDeps): HistoryServiceHandlers {
  return {
    ReadHistory: unary(async (request) => {
      const page = await history.read(
        readHistoryAsk(
          {
            stream: streamOf(request),
            direction: directionOf(request.order),
            after: request.after,
            before: request.before,
            epoch: request.epoch,
            fromMs: request.from_ms,
            toMs: request.to_ms,
            limit: request.limit,
          },
          epoch(),
        ),
      );
      return {
        epoch: page.epoch,
        more: page.more,
        entries: page.entries.map((entry) => ({
          position: entry.position,
          id: entry.id,
          operation: entry.operation,
          body: entry.body,
          keys: [...entry.keys],
          accepted_at_ms: entry.acceptedAtMs,
          expire_at_ms: entry.expireAtMs,
          caller: entry.caller,
          ...senderOf(entry),
        })),
      };
    }),
  };
}

function senderOf({ sender }: ArchivedEntry) {
  if (!sender) return {};
  return {
    from_mid: sender.mid,
    from_key: sender.key,
    client_id: sender.clientId,
    to_mid: sender.toMid,
  };
}

function streamOf({ target, mid, room }: ReadHistoryRequest__Output): string {
  if (target === 'mid') return userStream(mid ?? '0');
  if (target === 'room') return roomStream(room ?? '');
  throw invalid('target', 'exactly one of mid and room is to be set');
}

function directionOf(order: ReadHistoryRequest__Output['order']): HistoryAsk['direction'] {
  switch (order) {
    case 'HISTORY_ORDER_UNSPECIFIED':
    case 'HISTORY_ORDER_NEWEST_FIRST':
      return 'backward';
    case 'HISTORY_ORDER_OLDEST_FIRST':
      return 'forward';
    default:
      throw invalid('order', `${String(order)} is no order`);
  }
}
