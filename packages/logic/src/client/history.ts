import {
  HistoryOrder,
  type Entry,
  type HistoryReply,
  type HistoryRequest,
} from '@halley/protocol/client/bodies';
import type { ArchivedEntry } from '@halley/store/archive/archive';

import { readHistoryAsk } from '../api/history-ask.js';
import { invalid } from '../push/target.js';
import type { HistoryAsk, HistoryReader } from '../streams/history.js';
import { ANONYMOUS, type Asker } from './asker.js';
import { checkStream } from './stream.js';

/** The bodies of a page together, but for one large entry: less than what a client takes as one frame. */
const PAGE_BYTES = 512 * 1_024;

export interface ClientHistoryDeps {
  readonly history: Pick<HistoryReader, 'read'>;
  /** The bus's epoch now. */
  readonly epoch: () => string;
}

/** Answers clients what was sent before (26). */
export class ClientHistory {
  constructor(private readonly deps: ClientHistoryDeps) {}

  /** A page of the own inbox, or of a room that the comet has found joined. Throws `invalid_argument`, `store_unavailable`. */
  async read(request: HistoryRequest, from: Asker): Promise<HistoryReply> {
    const { stream, order, after, before, epoch, fromMs, toMs, limit } = request;
    const now = this.deps.epoch();
    checkStream(stream, from);
    if (epoch !== '' && epoch !== now) return { epoch: now, entries: [], more: false };
    const ask = readHistoryAsk(
      {
        stream,
        direction: directionOf(order),
        after: after === undefined || after < 0 ? undefined : String(after),
        before: before === undefined ? undefined : String(before),
        epoch,
        fromMs: String(fromMs),
        toMs: String(toMs),
        limit,
      },
      now,
    );
    return this.#page({ ...ask, maxBytes: PAGE_BYTES }, from);
  }

  /** What is for other devices is left out; a page without anything else would say nothing of where to go on. */
  async #page(ask: HistoryAsk, from: Asker): Promise<HistoryReply> {
    let bounds = ask;
    for (;;) {
      const { epoch, entries, more } = await this.deps.history.read(bounds);
      const shown = entries.filter(({ keys }) => keys.length === 0 || keys.includes(from.key));
      const last = entries.at(-1)?.position;
      if (shown.length > 0 || !more || last === undefined) {
        return { epoch, entries: shown.map(entryOf), more };
      }
      bounds = {
        ...bounds,
        ...(ask.direction === 'backward' ? { beforePosition: last } : { afterPosition: last }),
      };
    }
  }
}

function directionOf(order: number): HistoryAsk['direction'] {
  if (order === HistoryOrder.Unspecified || order === HistoryOrder.NewestFirst) return 'backward';
  if (order === HistoryOrder.OldestFirst) return 'forward';
  throw invalid('order', `${order} is no order`);
}

function entryOf(entry: ArchivedEntry): Entry {
  const { position, id, operation, body, acceptedAtMs, expireAtMs, traceparent, sender } = entry;
  return {
    position,
    id,
    operation,
    body,
    acceptedAtMs,
    expireAtMs,
    traceparent,
    fromMid: sender?.mid ?? ANONYMOUS,
    fromKey: sender?.key ?? '',
    clientId: sender?.clientId ?? '',
    toMid: sender?.toMid ?? ANONYMOUS,
  };
}
